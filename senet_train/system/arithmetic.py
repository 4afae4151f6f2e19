"""How torch computes in this process: threads, determinism, and what float32 is on a GPU.

An NVIDIA GPU from capability 8.0 on can multiply float32 numbers as TF32, with 10 bits of mantissa
where float32 has 23. By itself torch does so in convolutions and not in products of matrices; here
it never does. There is no setting for it: these cards have bfloat16 too, which is faster yet and
what `trainer.precision=auto` is there. Who asks for 32 bits wants those.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """For the block, no TF32: neither in convolutions and recurrent layers nor in matmuls.

    All three are set by the newer of torch's two ways, which must not be mixed.
    """
    cudnn: Any = torch.backends.cudnn  # what mypy takes for a module without these attributes
    places: tuple[Any, ...] = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = "ieee"
    try:
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision


@contextmanager
def arithmetic(*, deterministic: bool, cudnn_benchmark: bool, threads: int) -> Iterator[None]:
    """For the block, exact float32, so many threads and, if asked, deterministic algorithms alone.

    `cudnn_benchmark` has cuDNN try its algorithms on every new shape and keep the fastest. The
    number of threads that share a sum changes how the sum is rounded.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    benchmark_before = torch.backends.cudnn.benchmark
    # Filling new memory would cost a pass over every activation and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = cudnn_benchmark
    torch.set_num_threads(threads)
    try:
        with exact_float32():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = benchmark_before
        torch.set_num_threads(before[1])
