"""The processes that train one run together: how many there are, and which of them this one is.

Usually there is only one. Several are started by `torchrun`, or by `processes.py` on one machine.
Each trains on its part of every batch and has everything else in full; rank 0 alone holds the lock,
writes files and logs.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senet_train.errors import InputError

if TYPE_CHECKING:  # the command line reads the rank, and answers --help without torch
    from torch import Tensor

# Environment variable: the file through which processes of one machine find each other.
STORE = "SENET_TRAIN_STORE"
TORCHRUN = "TORCHELASTIC_RUN_ID"  # torchrun's; other programs set those below for themselves
READ_BY_LIGHTNING = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # as numbers
PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


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
    return place_among_several() or SINGLE_PROCESS


def place_among_several() -> World | None:
    """Where this process is among several; None if nothing has started it as one of them.

    None, too, if the variables do not say where: one of torchrun may have been left behind.
    """
    words = [os.environ.get(name, "") for name in PLACE]
    if not is_said_to_be_one() or not all(word.isdecimal() for word in words):
        return None
    here = World(*map(int, words))
    possible = here.rank < here.size and here.local_rank < here.local_size <= here.size
    return here if possible else None


def is_said_to_be_one() -> bool:
    """Whether torchrun, or `processes.py`, says that it has started this process."""
    return STORE in os.environ or TORCHRUN in os.environ


def left_behind() -> str:
    """The variable that says so of a process without a place among several, or ""."""
    if place_among_several() is not None:
        return ""
    return next((name for name in (STORE, TORCHRUN) if name in os.environ), "")


def refuse_no_place() -> None:
    """Raises InputError if the variables that say where this process is among several cannot be."""
    for name in READ_BY_LIGHTNING:
        if not (word := os.environ.get(name, "0")).isdecimal():
            raise InputError(f"the environment has {name}={word}, which is no number: unset {name}")
    given = [f"{name}={os.environ[name]}" for name in PLACE if name in os.environ]
    if given and (variable := left_behind()):
        raise InputError(
            f"the environment has {variable}, and {' '.join(given)} is no place among several "
            f"processes: unset {variable}, or start them by torchrun"
        )


def trains_alone_as_one_of_several() -> bool:
    """Whether a batch system calls this process one of several, and nothing has joined them."""
    several = os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")
    return several and "RANK" in os.environ and world() == SINGLE_PROCESS
