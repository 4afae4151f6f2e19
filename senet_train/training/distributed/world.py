"""The processes that train one run together: how many there are, and which of them this one is.

Usually there is only one. Several are started by `torchrun`, or by `processes.py` on one machine.
Each trains on its part of every batch and has everything else in full; rank 0 alone holds the lock,
writes files and logs.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads the rank, and answers --help without torch
    from torch import Tensor

# Environment variable: the file through which processes of one machine find each other.
STORE = "SENET_TRAIN_STORE"


@dataclass(frozen=True)
class World:
    """The rank of this process, and the numbers of processes; `local_*` are of this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process is the one that writes and logs."""
        return self.rank == 0

    def shard(self, batch: "Tensor") -> "Tensor":
        """The part of a batch that this process trains on, (B, ...) -> (B / size, ...)."""
        return batch[self.rank :: self.size]


SINGLE_PROCESS = World(rank=0, size=1, local_rank=0, local_size=1)


def world() -> World:
    """The world that the environment variables of this process describe."""
    if STORE not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        return SINGLE_PROCESS
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return World(*(int(os.environ[name]) for name in names))


def trains_alone_as_one_of_several() -> bool:
    """Whether a batch system calls this process one of several, and nothing has joined them."""
    several = os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")
    return several and "RANK" in os.environ and world() == SINGLE_PROCESS
