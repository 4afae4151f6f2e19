"""Put attention into the slots of a built backbone, without changing one of its weights.

The backbone is built and initialised first, under a generator keyed by the seed alone; each
attention module is initialised under one keyed by (seed, slot name). So with one seed every arm
has the same backbone, and arms that share a slot share that slot's weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from senet_train.backbones.slots import Backbone
from senet_train.config import Placement
from senet_train.errors import InputError
from senet_train.keyed import forked_random


@dataclass(frozen=True)
class Slot:
    """One filled slot: its module path, its stage, its channels, its bottleneck's width."""

    name: str
    stage: int
    channels: int
    hidden: int


def build_network(
    backbone: partial[Backbone],
    attention: Callable[[int], nn.Module],
    placement: Placement,
    *,
    num_classes: int,
    seed: int,
) -> tuple[Backbone, list[Slot]]:
    """A backbone with attention in its slots, and the list of those slots.

    Raises InputError for stages the backbone lacks or an attention that cannot be built there.
    """
    with forked_random("backbone", seed):
        network = backbone(num_classes)
    return network, insert(network, attention, placement, seed=seed)


def insert(
    network: Backbone, attention: Callable[[int], nn.Module], placement: Placement, *, seed: int
) -> list[Slot]:
    """Fill `placement.position` of every block in `placement.stages`; other slots stay Identity."""
    chosen = chosen_stages(network, placement)
    names = {module: name for name, module in network.named_modules()}
    slots = []
    for stage in chosen:
        for block in network.stages()[stage]:
            channels = block.slot_channels[placement.position]
            name = f"{names[block]}.attend.{placement.position}"
            with forked_random("attention", seed, name):
                module = build_attention(attention, channels)
            block.attend[placement.position] = module
            slots.append(Slot(name, stage, channels, int(getattr(module, "hidden", 0))))
    return slots


def chosen_stages(network: Backbone, placement: Placement) -> list[int]:
    """The stages to fill, in order. Raises InputError for one that the backbone lacks."""
    present = list(network.stages())
    if placement.stages == "all":
        return present
    missing = [stage for stage in placement.stages if stage not in present]
    if missing or not placement.stages:
        raise InputError(
            f"placement.stages={placement.stages}: the network has stages {present}: "
            "choose some of them, or all"
        )
    return sorted(set(placement.stages))


def build_attention(attention: Callable[[int], nn.Module], channels: int) -> nn.Module:
    """One attention module; its own ValueError (a rule and a way out) becomes an InputError."""
    try:
        return attention(channels)
    except ValueError as error:
        raise InputError(str(error)) from error
