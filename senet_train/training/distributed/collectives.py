"""What the processes of a crew tell each other: all of them must ask at the same point.

Alone, everything is as one says.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from senet_train.errors import PeerLost
from senet_train.training.distributed.world import STORE, crew

PATIENCE = timedelta(minutes=30)  # the others may still download, or read their data
SILENT = ("closed by peer", "reset by peer", "broken pipe", "timed out", "no route to host")


@contextmanager
def together(on_gpu: bool) -> Iterator[None]:
    """Be in touch with the others for the block."""
    here = crew()
    if here.size == 1:
        yield
        return
    store = os.environ.get(STORE)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=f"file://{store}" if store else "env://",
        rank=here.rank,
        world_size=here.size,
        timeout=PATIENCE,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def peers_explained() -> Iterator[None]:
    """For the block, raise PeerLost where a message of torch's says that another is gone."""
    try:
        yield
    except RuntimeError as error:
        if crew().size == 1 or not any(words in str(error).lower() for words in SILENT):
            raise
        raise PeerLost(
            f"one of the {crew().size} processes of this run is gone: "
            "the same line goes on from the last checkpoint"
        ) from error


def largest(*values: float) -> list[float]:
    """The largest of each value that any of the crew gives."""
    if crew().size == 1:
        return list(values)
    agreed = torch.tensor(values, dtype=torch.float64, device=meeting_place())
    dist.all_reduce(agreed, dist.ReduceOp.MAX)
    result: list[float] = agreed.tolist()
    return result


def of_first(*values: float) -> list[float]:
    """The first one's values, for all."""
    if crew().size == 1:
        return list(values)
    told = torch.tensor(values, dtype=torch.float64, device=meeting_place())
    dist.broadcast(told, 0)
    result: list[float] = told.tolist()
    return result


def meet() -> None:
    """Wait until all have come so far."""
    largest(0)


def total(values: Tensor) -> Tensor:
    """The sum over the crew, elementwise, on the device of `values`."""
    if crew().size == 1:
        return values
    summed = values.to(meeting_place(), copy=True)
    dist.all_reduce(summed)
    return summed.to(values.device)


def meeting_place() -> torch.device:
    """Where tensors must be to be exchanged."""
    on_gpu = dist.get_backend() == "nccl"
    return torch.device("cuda", crew().local_rank) if on_gpu else torch.device("cpu")
