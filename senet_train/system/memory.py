"""Memory of this process: keep it between steps, release it between runs, explain its shortage.

A training step frees hundreds of megabytes and the next one allocates them again. glibc returns
large blocks to the system at once, which then maps every page anew: 1,400 to 5,300 page faults a
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

    They are included again at exit: torch's compiler reports what is frozen then.
    """
    gc.freeze()
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
    """Whether the C library is glibc, which has these settings."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")
