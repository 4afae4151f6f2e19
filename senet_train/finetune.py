"""What fine-tuning tells apart: what is new in a network, and the backbone that it was put into.

New are attention and the last layer, which makes the logits. Everything else is backbone.
"""

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d

from senet_train.insertion import Slot
from senet_train.weave.pretrained import last_layer

EVERYTHING = ("",)  # what every name begins with


def new_parts(network: nn.Module, slots: Sequence[Slot]) -> tuple[str, ...]:
    """What the names of parameters begin with that are no backbone's."""
    return (*(f"{slot.name}." for slot in slots), f"{last_layer(network)}.")


def freeze_backbone(network: nn.Module, new: tuple[str, ...]) -> None:
    """Nothing of the backbone gets a gradient from now on."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(new))


def hold_statistics(network: nn.Module, new: tuple[str, ...]) -> None:
    """The backbone's BatchNorms normalise by what they have seen, and see nothing more."""
    for name, module in network.named_modules():
        if isinstance(module, BatchNorm1d | BatchNorm2d) and not f"{name}.".startswith(new):
            module.eval()
