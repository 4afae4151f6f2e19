"""How many processes read files: `data.workers`, and what `auto` is."""

import logging
from functools import cache

import torch

from senet_train.config.schema import Data
from senet_train.system.handover import SHARED_MEMORY, free_shared_memory

log = logging.getLogger("senet_train")

PREFETCHED = 2  # batches that a data worker is ahead, torch's default
# By arithmetic more than a run can use: the fastest GPU trains ResNet-50 on some 3,000 images a
# second, and a core decodes 400 of 500 x 375 pixels (docs/evidence/measurements.md).
MOST_WORKERS = 16


def num_workers(data: Data) -> int:
    """`data.workers` as a number. `auto` is the same in a process, whenever it is asked."""
    if data.workers != "auto":
        return data.workers
    return auto_workers(torch.get_num_threads(), batch_bytes(data))


def batch_bytes(data: Data) -> int:
    """The bytes of a batch as workers hand it over, of the larger images."""
    return 3 * data.most_pixels * data.batch_size


@cache
def auto_workers(cores: int, batch_bytes: int) -> int:
    """One a core of this process, 16 at most; fewer, with a line, where shared memory is short.

    Its threads are its share of the cores, in a sweep as well.
    """
    wanted = min(cores, MOST_WORKERS)
    free = free_shared_memory()
    found = min(wanted, free // (PREFETCHED * batch_bytes))
    if found < wanted:
        log.warning(
            "data.workers=%d instead of %d: %s has %.0f MB free (docker run --shm-size=8g)",
            *(found, wanted, SHARED_MEMORY, free / 1e6),
        )
    return found
