"""Which parameters are trained, and their groups: learning rate, weight decay, what is frozen."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from senet_train.config.schema import Optim
from senet_train.networks.insertion import Slot
from senet_train.networks.weights.load import last_layer

EVERYTHING = ("",)  # a prefix of every name


def new_prefixes(network: nn.Module, slots: Sequence[Slot]) -> tuple[str, ...]:
    """The prefixes of the parameters outside the backbone: attention and the last layer."""
    return (*(f"{slot.name}." for slot in slots), f"{last_layer(network)}.")


def freeze_backbone(network: nn.Module, new: tuple[str, ...]) -> None:
    """Turn gradients off for every parameter whose name has none of the prefixes `new`."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(new))


def freeze_batch_norms(network: nn.Module, new: tuple[str, ...]) -> None:
    """Put the backbone's BatchNorms in evaluation mode: their running statistics stay."""
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and not f"{name}.".startswith(new):
            module.eval()


def parameter_groups(
    network: nn.Module, optim: Optim, new: tuple[str, ...] = EVERYTHING
) -> list[dict[str, Any]]:
    """One group with weight decay and, unless `decay_norm_and_bias`, one of vectors without.

    The backbone has groups of its own, the last ones, if `backbone_lr_factor` is not 1.
    """
    slower = optim.backbone_lr_factor != 1
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    usual = [p for name, p in named if name.startswith(new) or not slower]
    backbone = [p for name, p in named if slower and not name.startswith(new)]
    lr = optim.lr * optim.backbone_lr_factor
    return [
        *decaying_groups(usual, optim),
        *({**group, "lr": lr} for group in decaying_groups(backbone, optim)),
    ]


def decaying_groups(parameters: list[nn.Parameter], optim: Optim) -> list[dict[str, Any]]:
    """The groups with and without weight decay, except empty ones."""
    decayed = [p for p in parameters if p.ndim > 1 or optim.decay_norm_and_bias]
    vectors = [p for p in parameters if p.ndim <= 1 and not optim.decay_norm_and_bias]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
