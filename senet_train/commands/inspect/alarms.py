"""Alarms: lines on layers whose gates are constant, dead or saturated."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from senet_train.commands.inspect.statistics import CONSTANT_STD, LayerGates

# Fractions above which an alarm is raised.
CONSTANT_CHANNELS = CLOSED_GATES = 0.25
SATURATED_GATES = 0.5
UNEXPLAINED = 0.05  # of a layer's output: above it the gates are not all that a layer does
FADED = 0.1  # a strength below which sigmoid is within 0.025 x |squeeze| of 1/2
NEAR_START = 0.02  # how far gates may be from where they start and still look untrained


@dataclass(frozen=True)
class Layer:
    """One attention layer and its gates; `hidden` is 0 where it has no bottleneck.

    `num_dead` hidden units were zero for every image; `kind` is its name in conf/attention.
    `beyond` is the fraction of its output's energy that a factor for each channel does not explain:
    0 for a gate over channels. With `identity` its gates started at 1 and may reach 2. `strength`
    is the product of its two layers' norms, nan where it is no Squeeze-and-Excitation.
    """

    name: str
    stage: int
    channels: int
    hidden: int
    kind: str
    bias: bool
    identity: bool
    num_dead: int
    beyond: float
    strength: float
    gates: LayerGates

    @property
    def block(self) -> str:
        """`layer2.1`, with the position where that is not `standard`."""
        block, _, position = self.name.partition(".attend.")
        return block if position == "standard" else f"{block} {position}"


def alarms_of(layer: Layer) -> list[str]:
    """The alarms of a layer, worst first."""
    return [f"{layer.block}: {line}" for line in [*constant(layer), *dead(layer), *stuck(layer)]]


def constant(layer: Layer) -> Iterator[str]:
    """Gates that are the same for every image."""
    gates = layer.gates
    if layer.kind == "static" or not gates.constant >= CONSTANT_CHANNELS:
        return
    still = gates.all_mean[gates.all_std < CONSTANT_STD]
    low, high = np.quantile(still, (0.05, 0.95))
    where = f"{np.median(still):.2f}" if high - low < 0.01 else f"{low:.2f} to {high:.2f}"
    yield f"{gates.constant:.0%} of gates constant at {where}{reason(layer)}".replace("%", " %")


def reason(layer: Layer) -> str:
    """The reason for constant gates, where the layer shows one."""
    bias = "" if layer.bias else " and no bias"
    if layer.hidden and layer.num_dead == layer.hidden:
        units = "one hidden unit" if layer.hidden == 1 else f"all {layer.hidden} hidden units dead"
        return f": {units}{bias}"
    if layer.hidden == 1:
        return f": one hidden unit{bias}"
    return ": its weights are all but zero" if layer.strength < FADED else ""


def dead(layer: Layer) -> Iterator[str]:
    """Some hidden units that are zero for every image; if all are, the gates are constant."""
    if layer.num_dead and layer.num_dead < layer.hidden:
        yield f"{layer.num_dead} of {layer.hidden} hidden units are zero for every image"


def stuck(layer: Layer) -> Iterator[str]:
    """Gates that are saturated, closed, or where they started."""
    gates = layer.gates
    if layer.beyond > UNEXPLAINED:  # then the factors are not all that it does
        return
    if gates.saturated >= SATURATED_GATES and not layer.identity:
        yield (
            f"{100 * gates.saturated:.0f} % of gates over 0.95: close to the identity, "
            "see what removing it costs"
        )
    if gates.closed >= CLOSED_GATES:
        yield f"{100 * gates.closed:.0f} % of gates under 0.05: those channels are switched off"
    start = 1.0 if layer.identity else 0.5
    spread = np.nanmax(np.abs(gates.all_mean - start), initial=0.0)
    moving = np.nanmax(gates.all_std, initial=0.0)
    if spread < NEAR_START and CONSTANT_STD <= moving < NEAR_START:
        yield f"every gate within {NEAR_START} of {start:.2f}, where it started: hardly trained"
