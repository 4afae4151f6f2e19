"""A backbone with the head of another task on it, such as a detector.

Attention goes into the backbone, or into the part that `placement.part` names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from senet_train.backbones.slots import Backbone, Slots
from senet_train.networks.graph.part import SlottedASPP, open_part, path_of

PROBE_SIZE = 64  # pixels of the image whose maps are measured


class NetworkWithHead(Backbone):
    """`model` has a part `backbone`, and `num_classes` classes, the background included."""

    model: Any  # torchvision's, or in its form
    num_classes: int

    def __init__(self, model: nn.Module, num_classes: int, taken_out: Sequence[str] = ()) -> None:
        super().__init__()
        self.model, self.num_classes, self.taken_out = model, num_classes, taken_out

    def part(self, name: str) -> Backbone:
        """`backbone`, `aspp` or a module's path. Raises InputError, CannotExist."""
        _, opened = open_part(self.model, name)
        return opened

    def part_name(self, name: str) -> str:
        """The one name of a part: `auto` for the backbone, `aspp`, or a path. Raises InputError."""
        path = path_of(self.model, name)
        known = {path_of(self.model, "backbone"): "auto"}
        if isinstance(self.model.get_submodule(path), ASPP | SlottedASPP):
            return "aspp"
        return known.get(path, path)

    def by_stage(self) -> Mapping[int, Sequence[Slots]]:
        """The backbone's."""
        return self.part("backbone").by_stage()

    def units_at(self, pattern: str) -> Mapping[int, Sequence[Slots]]:
        """The backbone's. Raises ValueError."""
        return self.part("backbone").units_at(pattern)


def strides_and_channels(body: Backbone) -> list[tuple[int, int]]:
    """Of each map that the backbone returns. Raises ValueError for one that returns none."""
    with torch.no_grad():
        images = torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE, device=next(body.parameters()).device)
        maps: list[Tensor] = body.eval().maps(images)
    body.train()
    return [(PROBE_SIZE // found.shape[2], found.shape[1]) for found in maps]


def without_classifier(body: Backbone) -> Backbone:
    """The backbone without its last layer, which no loss would train."""
    body.set_submodule("fc", nn.Identity())
    return body
