"""Image files -> the run's predictions, in order; files are decoded ahead of the network.

Shapes: B batch, H = W = the run's image size, K classes.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from senet_train.commands.predict.walk import Skip
from senet_train.data.image_files import Unreadable
from senet_train.runs.trained.forward import Forward


@dataclass(frozen=True)
class Row:
    """One image: its file, and (class name, probability) from the likeliest class on."""

    file: str
    classes: list[tuple[str, float]]


def predicted(files: Iterable[str], forward: Forward, top: int, skip: Skip) -> Iterator[Row]:
    """Yield a row for each file that can be decoded, in order; `skip` is called for the others."""
    names = forward.run.class_names
    readable = decoded(files, forward.run.preprocess.pixels, skip, ahead=forward.batch_size)
    while batch := list(islice(readable, forward.batch_size)):
        pixels = torch.stack([image for _, image in batch])  # (B, H, W, 3)
        best = forward(pixels).softmax(1).topk(top, dim=1)  # (B, top)
        for (file, _), indices, values in zip(
            batch, best.indices.tolist(), best.values.tolist(), strict=True
        ):
            yield Row(file, [(names[i], value) for i, value in zip(indices, values, strict=True)])


def decoded(
    files: Iterable[str], read: Callable[[str], Tensor], skip: Skip, ahead: int
) -> Iterator[tuple[str, Tensor]]:
    """Yield each file with its pixels (H, W, 3) uint8, in order; `ahead` files are decoded ahead.

    In threads, as decoding releases the global interpreter lock: 48 images/s where one thread gives
    31 (photographs of 1600 x 1200, SE-ResNet-20, two shared cores); no slower on files of 8 x 8.
    """
    pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1))  # one core is the network's
    waiting: deque[tuple[str, Future[Tensor]]] = deque()
    coming = ((file, pool.submit(read, file)) for file in files)
    try:
        waiting.extend(islice(coming, ahead))
        while waiting:
            file, pixels = waiting.popleft()
            if (reason := failure_reason(pixels.exception())) is None:
                yield file, pixels.result()
            else:
                skip(file, reason)
            waiting.extend(islice(coming, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def failure_reason(error: BaseException | None) -> str | None:
    """Why a file could not be decoded, or None. Raises an error that is not due to the file."""
    match error:
        case None:
            return None
        case Unreadable():
            return str(error)
        case OSError():
            return error.strerror or str(error)
        case MemoryError():
            return "no memory to decode it"
    raise error
