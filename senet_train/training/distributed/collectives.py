"""Collective operations: every process of the run calls them, all in the same order.

In a run of one process each returns its input.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from senet_train.errors import PeerLost
from senet_train.training.distributed.world import STORE, world

# The others may still download or read their data; and rank 0 draw.
TIMEOUT = timedelta(minutes=30)
# What the messages of gloo, NCCL and torch's store say if another process has ended.
LOST_PEER = (
    *("closed by peer", "reset by peer", "broken pipe", "timed out", "no route to host"),
    *("closed by remote peer", "remote process exited", "remote process exiting"),
    *("communicator was aborted", "collective operation timeout", "connection refused"),
    *("caused pair closure", "connection was likely closed"),
)


@contextmanager
def process_group(on_gpu: bool) -> Iterator[None]:
    """For the block, initialise the default process group if the run has several processes.

    They leave it together: NCCL reports errors where one goes while others are at work. Raises
    PeerLost.
    """
    here = world()
    if here.size == 1:
        yield
        return
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",  # what hosts tell each other waits for no GPU
        store=store_of(here.size),
        rank=here.rank,
        world_size=here.size,
        timeout=TIMEOUT,
    )
    try:
        with explain_lost_peers():
            yield
            barrier()  # rank 0 writes and draws when the others are done
    finally:
        dist.destroy_process_group()


def store_of(world_size: int) -> dist.Store | None:
    """Where the processes find each other: the file that is named to them, else torchrun's (None).

    It is named by its path: `file://` would want a URL, which `C:\\Users\\a#b` is not.
    """
    path = os.environ.get(STORE)
    return dist.FileStore(path, world_size) if path else None


@contextmanager
def explain_lost_peers() -> Iterator[None]:
    """For the block, raise PeerLost for an error that means that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        if world().size == 1 or not any(words in str(error).lower() for words in LOST_PEER):
            raise
        raise PeerLost(
            f"one of the {world().size} processes of this run is gone: "
            "the same line goes on from the last checkpoint"
        ) from error


def all_reduce_max(*values: float) -> list[float]:
    """The element-wise maximum over all processes."""
    if world().size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    result: list[float] = tensor.tolist()
    return result


def all_reduce_max_(tensor: Tensor) -> None:
    """The element-wise maximum over all processes, in place; no host waits for a GPU."""
    if world().size > 1:
        dist.all_reduce(tensor, dist.ReduceOp.MAX)


def all_reduce_sum(values: Tensor) -> Tensor:
    """The element-wise sum over all processes."""
    if world().size == 1:
        return values
    tensor = values.clone()
    dist.all_reduce(tensor)
    return tensor


def broadcast(*values: float) -> list[float]:
    """The values of rank 0, on every process. Each passes as many."""
    if world().size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.broadcast(tensor, src=0)
    result: list[float] = tensor.tolist()
    return result


def gather(parts: Sequence[Tensor]) -> list[Tensor]:
    """The parts (N, ...) of each process, one behind the other; [] on all but rank 0.

    They are on the host. A process may have none. Bytes are sent, for any number type.
    """
    own = torch.cat(list(parts)) if parts else torch.empty(0)
    here = world()
    if here.size == 1:
        return [own]
    sent = own.flatten().view(torch.uint8)
    sizes = all_reduce_sum(torch.tensor([len(sent) * (i == here.rank) for i in range(here.size)]))
    padded = torch.zeros(int(sizes.max()), dtype=torch.uint8)
    padded[: len(sent)] = sent
    received = [torch.empty_like(padded) for _ in sizes] if here.is_rank_zero else []
    dist.gather(padded, received or None, dst=0)
    return [
        every[:size].view(own.dtype).view(-1, *own.shape[1:])
        for every, size in zip(received, sizes.tolist(), strict=False)
    ]


def barrier() -> None:
    """Wait until every process has called it."""
    all_reduce_max(0)
