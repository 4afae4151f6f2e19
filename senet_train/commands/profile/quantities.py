"""What is measured of one network: operations, bytes kept for backward, milliseconds in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from senet_train.networks.cost import POOLS, SCALES, count_operations, products
from senet_train.networks.insertion import Slot
from senet_train.runs.record import median_and_quartiles

FEW, MORE = 2, 4  # batch sizes: what does not grow with the batch cancels in the difference


def bytes_an_image(network: nn.Module, images: Tensor, context: Callable[[], Any]) -> int:
    """Bytes that every further image adds to what is saved, itself included; `images` are 4.

    `context` is the autocast of training. Each storage counts once, however often it is saved.
    What an operation keeps to itself and does not save through autograd is not seen: in the folded
    kernel that is B x C numbers for each gate.
    """
    training = network.training
    few, more = (saved_bytes(network.train(), images[:n].clone(), context) for n in (FEW, MORE))
    network.train(training)
    return (more - few) // (MORE - FEW)


def saved_bytes(network: nn.Module, images: Tensor, context: Callable[[], Any]) -> int:
    """Of all storages saved in one forward pass but those of parameters and buffers."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with context(), saved_tensors_hooks(note, lambda tensor: tensor):
        out = network(images)
    own = {t.untyped_storage().data_ptr() for t in network.state_dict().values()}
    del out  # until here its graph held every storage, so that no address came twice
    return sum(size for address, size in kept.items() if address not in own)


@dataclass(frozen=True)
class AttentionOperations:
    """Multiply-adds inside attention for one image. SE: C H W, 2 C R and C H W a layer."""

    pool: int
    layers: int
    scale: int


@dataclass(frozen=True)
class Points:
    """Insertion points of one stage that are alike; `hidden` is 0 where there is no bottleneck."""

    stage: int
    channels: int
    hidden: int
    names: list[str]


def attention_operations(
    network: nn.Module, slots: Sequence[Slot], image_size: int
) -> AttentionOperations:
    """Counted on the meta device, where `network` must be, by the counter of the run's record."""
    per_module = count_operations(network, image_size)
    inside = [per_module.get(f"{type(network).__name__}.{slot.name}", {}) for slot in slots]
    return AttentionOperations(
        pool=sum(operators.get(kind, 0) for operators in inside for kind in POOLS),
        layers=sum(map(products, inside)),
        scale=sum(operators.get(kind, 0) for operators in inside for kind in SCALES),
    )


def points_of(slots: Sequence[Slot]) -> list[Points]:
    """Every insertion point, in the network's order."""
    alike = groupby(slots, lambda slot: (slot.stage, slot.channels, slot.hidden))
    return [Points(*key, [slot.name for slot in group]) for key, group in alike]


LEAST_ROUNDS = 8
SECONDS = 1.0  # measured for each network, at each batch size and precision


@dataclass(frozen=True)
class LatencyQuartiles:
    """The median of several measurements, the quartiles, and how many they were."""

    median: float
    lower: float
    upper: float
    num: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "LatencyQuartiles":
        """Of at least one value."""
        median, (lower, upper) = median_and_quartiles(values)
        return cls(median, lower, upper, len(values))


def in_turn(functions: Sequence[Callable[[], object]], device: torch.device) -> list[list[float]]:
    """Milliseconds of each function's calls; the n-th of all were made in the n-th round."""
    for function in functions:
        timed(function, device)  # warms up
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + SECONDS * len(functions)
    while len(times[0]) < LEAST_ROUNDS or time.perf_counter() < end:
        first = len(times[0]) % len(functions)
        for i in (*range(first, len(functions)), *range(first)):
            times[i].append(timed(functions[i], device))
    return times


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call, until the device has done it."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


def share_of(times: Sequence[float], plain: Sequence[float]) -> LatencyQuartiles:
    """(t_with - t_without) / t_without of every round."""
    pairs = zip(times, plain, strict=True)
    return LatencyQuartiles.of([(own - without) / without for own, without in pairs])
