"""What a layer is worth: the same images with its gate held still, and without it.

`held` gives every image the layer's mean factors over all images, so that it no longer looks;
`removed` takes the layer out, which of a gate is the same as holding it at 1. Nothing is trained
anew: this is what the trained network loses, not what one trained without would lack.

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
    """A gate that does not look: the same factors (C,) for every image."""

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.factors = nn.Buffer(factors)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C), which are not looked at -> factors (B, C)."""
        return self.factors.expand_as(z)


@dataclass(frozen=True)
class Loss:
    """Points of top-1 lost, positive for worse, and the 95 % interval over images."""

    points: float
    low: float
    high: float


@dataclass(frozen=True)
class Knockout:
    """What was knocked out: `layers` of them, under a name; what that costs and saves.

    `stage` is the one that they are all the layers of, 0 where they are more or less than one.
    """

    name: str
    stage: int
    layers: list[str]
    held: Loss
    removed: Loss
    parameters: int


@dataclass
class Changes:
    """How many images a knock-out moved from right to wrong, and the other way."""

    worse: int = 0
    better: int = 0

    def add(self, before: Tensor, after: Tensor) -> None:
        """Take in one batch: which images were named right, (B,) bool twice."""
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
        return Loss(100 * net / num_images, middle - half, middle + half)


def knock_out(
    run: Trained, layers: Sequence[Layer], images: Images, told: Callable[[str], None]
) -> list[Knockout]:
    """Every layer, every stage, and all of them. Called under the autocast to evaluate in.

    `run.model` is on the device it is to run on, and is left as it was. `told` hears of progress.
    """
    model, groups = run.model, groups_of(layers)
    changes = {name: {kind: Changes() for kind in KINDS} for name in groups}
    device = next(model.parameters()).device
    batches = EvaluationBatches(images, run.config.data)
    for number, (batch, labels, _) in enumerate(batches, start=1):
        told(f"knock-out: batch {number} of {len(batches)}")
        pixels, labels = batch.to(device), labels.to(device)
        with remembered(blocks_of(model)) as outputs:
            before = model(pixels).argmax(1) == labels
        for name, chosen in groups.items():
            for kind, replace in KINDS.items():
                with replaced(model, chosen, replace), from_first(model, chosen, outputs):
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


def groups_of(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """What is knocked out together, by name: each layer, each stage with several, all."""
    groups = {layer.block: [layer] for layer in layers}
    for stage in sorted({layer.stage for layer in layers}):
        members = [layer for layer in layers if layer.stage == stage]
        if len(members) > 1:
            groups[f"stage {stage}"] = members
    if len(layers) > 1:
        groups["all"] = list(layers)
    return groups


def whole_stage(chosen: Sequence[Layer], layers: Sequence[Layer]) -> int:
    """The stage that the chosen ones make up, 0 if they do not make up just one."""
    stage = chosen[0].stage
    return stage if list(chosen) == [layer for layer in layers if layer.stage == stage] else 0


def held(layer: Layer) -> nn.Module:
    """The layer's mean factors; 1 for a channel that was never more than zero."""
    return HeldGate(torch.from_numpy(np.nan_to_num(layer.gates.all_mean, nan=1.0)).float())


def removed(layer: Layer) -> nn.Module:
    """Nothing in its place."""
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
def remembered(modules: Iterable[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """For the block, what each of the modules puts out is kept."""
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
def from_first(
    model: Backbone, layers: Sequence[Layer], outputs: dict[nn.Module, Tensor]
) -> Iterator[None]:
    """For the block, what lies before the first of the layers is not computed again.

    The block before it puts out what it put out for the same images; the ones before that nothing
    of use. Halves the time.
    """
    blocks = blocks_of(model)
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


def blocks_of(model: Backbone) -> list[ResidualBlock]:
    """All residual blocks in the order they run; none of a network whose units are in its graph."""
    units = [unit for stage in model.by_stage().values() for unit in stage]
    return [unit for unit in units if isinstance(unit, ResidualBlock)]
