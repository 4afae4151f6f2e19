"""Keep freed memory for the next step instead of handing it back to the system.

A training step frees hundreds of megabytes and the next one wants them again. glibc gives large
blocks back at once, and the system then hands out every page anew: 1,400 to 5,300 page faults a
step for ResNet-20 here, up to a tenth of its time.
"""

import atexit
import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from senet_train.errors import OutOfMemory

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MMAP_THRESHOLDS = (2**30, 2**25)  # some versions refuse more than 32 MiB
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Ask the C library to keep it from now on. Peak memory rises by a hundredth at most."""
    if on_glibc():
        library = ctypes.CDLL(None)
        # Never the second alone: it ends the growth of the first, and everything is mapped anew.
        if any(library.mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
            library.mallopt(M_TRIM_THRESHOLD, LARGEST)


@cache
def spare_what_is_loaded() -> None:
    """Leave all modules out of garbage collection: it takes a sixth of the time without them.

    Until the end: torch's compiler complains of what is then still there.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)


def release_freed_memory() -> None:
    """Hand back what an earlier run in this process left.

    Lightning's objects point to each other, and few of them hold much: a network and its momentum
    would wait for many runs until Python looks.
    """
    gc.collect()
    if on_glibc():
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def shortage_explained(batch_size: int) -> Iterator[None]:
    """Raise OutOfMemory, with what to change, where torch or Python finds no memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "can't allocate memory" not in str(error):  # the CPU's has no class
            raise
        first_line = str(error).partition("\n")[0]
        raise OutOfMemory(
            f"there is no memory for data.batch_size={batch_size} ({first_line}): choose a smaller "
            "one, for all arms alike, as BatchNorm's statistics change with it"
        ) from error


def on_glibc() -> bool:
    """Whether the C library has these settings."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")
