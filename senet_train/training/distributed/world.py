"""The processes that train one run together; usually there is only one.

Started by `torchrun`, or by us on one machine. Each has its share of every batch and all of the
rest; the first alone locks, writes and speaks.
"""

import os
from dataclasses import dataclass

from torch import Tensor

STORE = "SENET_TRAIN_STORE"  # names a file through which processes of one machine find each other


@dataclass(frozen=True)
class World:
    """One process's place among them."""

    rank: int
    size: int
    local_rank: int
    local_size: int  # on this machine

    @property
    def is_rank_zero(self) -> bool:
        """Whether it is the first."""
        return self.rank == 0

    def shard(self, batch: "Tensor") -> "Tensor":
        """Its part of a batch of all processes, (B, ...) -> (B / size, ...)."""
        return batch[self.rank :: self.size]


ALONE = World(rank=0, size=1, local_rank=0, local_size=1)


def world() -> World:
    """The place that whoever started this process gave it."""
    if STORE not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return World(*(int(os.environ[name]) for name in names))
