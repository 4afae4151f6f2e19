"""Memory of this process: keep it between steps, release it between runs, explain its shortage.

A training step frees hundreds of megabytes and the next one allocates them again. glibc returns
large blocks to the system at once, which then maps every page anew: 1,400 to 5,300 page faults a
step for ResNet-20 here, up to a tenth of its time.
"""

import atexit
import ctypes
import errno
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from senet_train.errors import OutOfMemory

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MMAP_THRESHOLDS = (2**30, 2**25)  # some versions refuse more than 32 MiB
LARGEST = 2**31 - 1
# What the CPU, CUDA, cuDNN, cuBLAS, NCCL, HIP, MIOpen and MPS say: only PyTorch's own allocator for
# a GPU raises a class of its own. Read in the libraries of torch 2.15 with CUDA 13.2.
SHORTAGE = re.compile(
    r"out of memory|not enough memory|allocate memory"
    r"|failed to cuda (?:malloc|calloc|host alloc)"
    r"|alloc(?:ation)?_?failed|status_memory_error|erroroutofmemory|errormemoryallocation",
    re.IGNORECASE,
)


def disable_malloc_trim() -> None:
    """Have glibc keep freed memory from now on. Peak memory rises by a hundredth at most."""
    if on_glibc():
        library = ctypes.CDLL(None)
        # Never the second alone: it ends the growth of the first, and everything is mapped anew.
        if any(library.mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
            library.mallopt(M_TRIM_THRESHOLD, LARGEST)


@cache
def freeze_garbage_collector() -> None:
    """Exclude all modules loaded by now from garbage collection, which then takes a sixth as long.

    They are included again at exit: torch's compiler reports what is frozen then. Full collections,
    which are cheap now, come as often as Python has them (see `collect_rarely` in start.py).
    """
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 10)
    atexit.register(gc.unfreeze)


def release_freed_memory() -> None:
    """Return to the system what an earlier run in this process has left.

    Lightning's objects refer to each other, and few of them hold much memory: without an explicit
    collection a network and its momentum would stay for many runs.
    """
    gc.collect()
    if on_glibc():
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def explain_out_of_memory(batch_size: int) -> Iterator[None]:
    """Raise OutOfMemory, with what to change, if the block runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_shortage(error):
            raise
        lines = str(error).splitlines() or [""]
        line = next(filter(SHORTAGE.search, lines), lines[0])  # NCCL's first line is of no use
        raise OutOfMemory(
            f"there is no memory for data.batch_size={batch_size} ({line.strip()}): choose a "
            "smaller one, for all arms alike, as BatchNorm's statistics change with it"
        ) from error


def is_shortage(error: BaseException) -> bool:
    """Whether the error says that memory, the machine's or a GPU's, was not enough."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(SHORTAGE.search(str(error)))


def on_glibc() -> bool:
    """Whether the C library is glibc, which has these settings."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")
