"""Knock-outs: the accuracy lost with a layer's gate held constant, and with the layer removed.

`held` gives every image the layer's mean factors over all images; `removed` replaces the layer by
Identity, which for a gate is the same as a constant 1. Nothing is retrained: this is what the
trained network loses, not what a network trained without the layer would lack.

Shapes: B batch, C channels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from senet_train.attention.gate import ChannelGate
from senet_train.backbones.slots import Backbone, ResidualBlock
from senet_train.commands.inspect.alarms import Layer
from senet_train.data.images import Images
from senet_train.data.loaders import EvaluationBatches
from senet_train.networks.cost import count_parameters
from senet_train.runs.trained.load import Trained

NORMAL_95 = 1.959964  # the standard normal's 97.5 % point


class HeldGate(ChannelGate):
    """A constant gate: the same factors (C,) for every image."""

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.factors = nn.Buffer(factors)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C), which are ignored -> factors (B, C)."""
        return self.factors.expand_as(z)


@dataclass(frozen=True)
class Loss:
    """Points of top-1 lost, positive for worse, and the 95 % interval over images."""

    points: float
    low: float
    high: float


@dataclass(frozen=True)
class Knockout:
    """A group of layers that were knocked out together, the loss, and the parameters they have.

    `stage` is the stage if they are all layers of exactly one, else 0.
    """

    name: str
    stage: int
    layers: list[str]
    held: Loss
    removed: Loss
    parameters: int


@dataclass
class Changes:
    """How many images a knock-out changed from right to wrong, and from wrong to right."""

    worse: int = 0
    better: int = 0

    def add(self, before: Tensor, after: Tensor) -> None:
        """Add one batch: which images were classified correctly, (B,) bool, before and after."""
        self.worse += int((before & ~after).sum())
        self.better += int((after & ~before).sum())

    def loss(self, num_images: int) -> Loss:
        """The difference of paired proportions, with the interval of Agresti and Min.

        "Simple improved confidence intervals for comparing matched proportions", 2005: Wald's with
        half an image more in each of the four cells, so that no change is no certainty.
        """
        num, moved = num_images + 2, self.worse + self.better + 1
        net = self.worse - self.better
        middle, half = 100 * net / num, 100 * NORMAL_95 * sqrt(moved - net**2 / num) / num
        low, high = max(middle - half, -100.0), min(middle + half, 100.0)
        return Loss(100 * net / num_images, low, high)


def knock_out(
    run: Trained, layers: Sequence[Layer], images: Images, report_progress: Callable[[str], None]
) -> list[Knockout]:
    """Every layer, every stage, and all of them. Called under the autocast to evaluate in.

    `run.model` must be on its device; it is not changed. `report_progress` gets a line each batch.
    """
    model, groups = run.model, knockout_groups(layers)
    changes = {name: {kind: Changes() for kind in KINDS} for name in groups}
    device = next(model.parameters()).device
    batches = EvaluationBatches(images, run.config.data)
    for number, (batch, labels, _) in enumerate(batches, start=1):
        report_progress(f"knock-out: batch {number} of {len(batches)}")
        pixels, labels = batch.to(device), labels.to(device)
        with recorded_outputs(residual_blocks(model)) as outputs:
            before = model(pixels).argmax(1) == labels
        for name, chosen in groups.items():
            for kind, replace in KINDS.items():
                skipping = skipping_earlier_blocks(model, chosen, outputs)
                with replaced(model, chosen, replace), skipping:
                    changes[name][kind].add(before, model(pixels).argmax(1) == labels)
    num_images = len(images.labels)
    return [
        Knockout(
            name=name,
            stage=whole_stage(chosen, layers),
            layers=names(chosen),
            held=changes[name]["held"].loss(num_images),
            removed=changes[name]["removed"].loss(num_images),
            parameters=sum(count_parameters(model.get_submodule(n)) for n in names(chosen)),
        )
        for name, chosen in groups.items()
    ]


def knockout_groups(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """The groups that are knocked out, by name: each layer, each stage with several, all."""
    groups = {layer.block: [layer] for layer in layers}
    for stage in sorted({layer.stage for layer in layers}):
        members = [layer for layer in layers if layer.stage == stage]
        if len(members) > 1:
            groups[f"stage {stage}"] = members
    if len(layers) > 1:
        groups["all"] = list(layers)
    return groups


def whole_stage(chosen: Sequence[Layer], layers: Sequence[Layer]) -> int:
    """The stage whose layers are the chosen ones, 0 if there is none."""
    stage = chosen[0].stage
    return stage if list(chosen) == [layer for layer in layers if layer.stage == stage] else 0


def held(layer: Layer) -> nn.Module:
    """A gate with the layer's mean factors; 1 for a channel that was never above zero."""
    return HeldGate(torch.from_numpy(np.nan_to_num(layer.gates.all_mean, nan=1.0)).float())


def removed(layer: Layer) -> nn.Module:
    """Identity in place of the layer."""
    return nn.Identity()


KINDS = {"held": held, "removed": removed}


@contextmanager
def replaced(
    model: Backbone, layers: Sequence[Layer], replace: Callable[[Layer], nn.Module]
) -> Iterator[None]:
    """For the block, other modules in the layers' slots."""
    device = next(model.parameters()).device
    before = {layer.name: model.get_submodule(layer.name) for layer in layers}
    try:
        for layer in layers:
            model.set_submodule(layer.name, replace(layer).to(device))
        yield
    finally:
        for name, module in before.items():
            model.set_submodule(name, module)


@contextmanager
def recorded_outputs(modules: Iterable[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """For the block, the output of each module's last forward pass is kept."""
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[module] = output

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def skipping_earlier_blocks(
    model: Backbone, layers: Sequence[Layer], outputs: dict[nn.Module, Tensor]
) -> Iterator[None]:
    """For the block, residual blocks before the first of the layers are not computed again.

    Each returns its output for the same images instead. Halves the time.
    """
    blocks = residual_blocks(model)
    homes = {model.get_submodule(name.partition(".attend.")[0]) for name in names(layers)}
    first = next((number for number, block in enumerate(blocks) if block in homes), 0)
    skipped = blocks[:first]
    try:
        for block in skipped:
            block.forward = lambda x, kept=outputs[block]: kept
        yield
    finally:
        for block in skipped:
            del block.forward  # the instance's: the class's is there again


def names(layers: Sequence[Layer]) -> list[str]:
    """Their module paths."""
    return [layer.name for layer in layers]


def residual_blocks(model: Backbone) -> list[ResidualBlock]:
    """All residual blocks in order; none for a network whose units are in its graph."""
    units = [unit for stage in model.by_stage().values() for unit in stage]
    return [unit for unit in units if isinstance(unit, ResidualBlock)]
