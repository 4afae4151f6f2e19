"""Multiply-adds inside attention by kind, and where its hidden channels are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import nn

from senet_train.cost import POOLS, SCALES, count_operations, products
from senet_train.insertion import Slot


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
