"""One pass over the images: the gates of every attention layer, and the alarms they raise."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.statistics import GateStatistics
from senet_train.data.images import Images
from senet_train.data.loaders import EvaluationBatches
from senet_train.networks.watch import channel_gates, unexplained_energy, watched
from senet_train.runs.trained.load import Trained


class HiddenUnits:
    """Which hidden units of a Squeeze-and-Excitation layer were above zero for any image."""

    def __init__(self, module: SqueezeExcite) -> None:
        self.active = torch.zeros(module.hidden, dtype=torch.bool)
        self.handle = module.reduce.register_forward_hook(self.note)

    def note(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        """A forward hook: mark the units that ReLU lets through, (B, ..., R)."""
        self.active |= (output > 0).flatten(0, -2).any(0).cpu()  # (B, ..., R) -> (R,)

    def num_dead(self) -> int:
        """How many were zero for every image. Removes the hook."""
        self.handle.remove()
        return int((~self.active).sum())


@dataclass(frozen=True)
class GateInspection:
    """The attention layers of a run with their gates, and its top-1 over the images."""

    layers: list[Layer]
    num_images: int
    top1: float


def inspect_gates(run: Trained, images: Images, device: torch.device) -> GateInspection:
    """One pass of all images through the network, in float32."""
    model = run.model.to(device).to(memory_format=torch.channels_last)
    num_classes = len(run.class_names)
    gathered = {slot.name: GateStatistics(slot.channels, num_classes) for slot in run.slots}
    units = {
        slot.name: HiddenUnits(module)
        for slot in run.slots
        if isinstance(module := model.get_submodule(slot.name), SqueezeExcite)
    }
    rest, every = (dict.fromkeys(gathered, 0.0) for _ in range(2))
    current_labels = torch.empty(0, dtype=torch.long)  # of the batch in the network

    def record(name: str, x: Tensor, y: Tensor) -> None:
        s, seen = channel_gates(x, y)
        gathered[name].add(s.cpu().double(), seen.cpu().double(), current_labels)
        beyond, whole = unexplained_energy(x, y, s)
        rest[name] += beyond
        every[name] += whole

    right = 0
    with watched(model, run.slots, record), torch.inference_mode():
        for batch, labels, _ in EvaluationBatches(images, run.config.data):
            current_labels = labels
            right += int((model(batch.to(device)).argmax(1).cpu() == labels).sum())
    layers = [
        Layer(
            name=slot.name,
            stage=slot.stage,
            channels=slot.channels,
            hidden=slot.hidden,
            kind=run.config.attention.name,
            bias=bool(run.config.attention.options.get("bias", False)),
            identity=bool(run.config.attention.options.get("identity", False)),
            num_dead=units[slot.name].num_dead() if slot.name in units else 0,
            beyond=rest[slot.name] / (every[slot.name] or 1.0),
            strength=strength_of(model.get_submodule(slot.name)),
            gates=gathered[slot.name].result(),
        )
        for slot in run.slots
    ]
    return GateInspection(layers, len(images.labels), right / len(images.labels))


def strength_of(module: nn.Module) -> float:
    """The product of the norms of both layers of Squeeze-and-Excitation; nan of another module."""
    if not isinstance(module, SqueezeExcite):
        return math.nan
    return float(module.reduce.weight.detach().norm() * module.expand.weight.detach().norm())
