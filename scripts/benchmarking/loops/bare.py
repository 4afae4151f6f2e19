"""The limit: a batch that is already in memory, no accounts kept."""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from benchmarking.flags import Flags, sgd
from benchmarking.workload import NUM_CLASSES, Workload


def train(network: nn.Module, workload: Workload, flags: Flags, tell: Callable[[], None]) -> None:
    """Step after step."""
    for _ in steps(network, workload, flags):
        tell()


def steps(network: nn.Module, workload: Workload, flags: Flags) -> Iterator[None]:
    """Forward, backward, update: one step at each `next`."""
    network = flags.prepare(network)
    optimizer = sgd(network, flags)
    size = workload.image_size
    images, labels = flags.lay_out(
        torch.randn(workload.batch_size, 3, size, size),
        torch.arange(workload.batch_size) % NUM_CLASSES,
    )
    while True:
        with flags.autocast():
            loss = F.cross_entropy(network(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield
