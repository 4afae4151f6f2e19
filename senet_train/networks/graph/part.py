"""A part of a larger network opened for attention, where the whole has no graph.

A detector decides by values (which boxes are kept), so it cannot be traced; its convolutional body
can. The network keeps its forward, its weights and their names.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from senet_train.backbones.slots import Backbone, Slots
from senet_train.errors import InputError
from senet_train.networks.graph.own_attention import is_own_attention
from senet_train.networks.graph.weave import weave
from senet_train.networks.graph.woven import module_at
from senet_train.networks.graph.wrappers import refuse_wrapper


class SlottedASPP(Backbone):
    """torchvision's ASPP with slots: its modules are taken over, their names are kept.

    (B, in_channels, H, W) -> (B, out_channels, H, W).
    """

    def __init__(self, aspp: ASPP) -> None:
        super().__init__()
        self.convs = aspp.convs
        self.project = aspp.project
        convolution = aspp.project[0]
        self.unit = Slots({"standard": convolution.in_channels, "post": convolution.out_channels})
        self.training = aspp.training

    def by_stage(self) -> Mapping[int, Sequence[Slots]]:
        """One stage of one unit."""
        return {1: [self.unit]}

    def forward(self, x: Tensor) -> Tensor:
        """ASPP's forward pass, through the slots."""
        convolution, norm, activation, dropout = self.project
        x = torch.cat([branch(x) for branch in self.convs], dim=1)
        x = self.unit.attend["standard"](x)
        x = activation(norm(convolution(x)))
        return dropout(self.unit.attend["post"](x))


def open_part(model: nn.Module, part: str) -> tuple[str, Backbone]:
    """The part's path in the model, and the part, which now has slots.

    `part` is `backbone`, `aspp` or the path of a module. A part that is open already stays as it
    is. Raises InputError for a part that the model lacks or that has no fixed graph, CannotExist
    for one without a unit.
    """
    path = path_of(model, part)
    refuse_wrapper(model, path)
    module = module_at(model, path)
    if isinstance(module, Backbone):
        return path, module
    opened = SlottedASPP(module) if isinstance(module, ASPP) else weave(module, keep_own=True)
    parent, _, name = path.rpartition(".")
    module_at(model, parent)._modules[name] = opened
    return path, opened


def path_of(model: nn.Module, part: str) -> str:
    """Where the part is. Raises InputError."""
    refuse_wrapper(model)
    paths = {name: module for name, module in model.named_modules() if name}
    found = part
    if part == "backbone" and "backbone.body" in paths:  # behind it is a feature pyramid
        found = "backbone.body"
    elif part == "aspp":
        found = next((n for n, m in paths.items() if isinstance(m, ASPP | SlottedASPP)), part)
    if found not in paths:
        children = ", ".join(name for name, _ in model.named_children())
        raise InputError(
            f"placement.part={part}: {type(model).__name__} has none, choose the path of a module "
            f"in one of {children or 'its modules: it has none'}"
        )
    return found


def take_out_own_attention(model: nn.Module) -> list[str]:
    """Put Identity in the place of the model's own attention; the paths of what was taken out.

    For a MobileNetV3 as the baseline of another attention; it changes what the model computes.
    """
    own = [name for name, module in model.named_modules() if is_own_attention(module)]
    for name in own:
        model.set_submodule(name, nn.Identity())
    return own
