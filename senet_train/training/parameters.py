"""Which parameters are trained, and their groups: learning rate, weight decay, what is frozen."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from senet_train.backbones.slots import Backbone
from senet_train.config.schema import Optim
from senet_train.networks.depth import depths_of
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

    The backbone has groups of its own, the last ones: one, or two, for each of its learning rates.
    """
    factors = rate_factors(network, optim, new)
    by_factor: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            by_factor.setdefault(factors[name], []).append(parameter)
    groups = decaying_groups(by_factor.pop(1.0), optim)
    for factor, parameters in by_factor.items():
        lr = optim.lr * factor
        groups += [{**group, "lr": lr} for group in decaying_groups(parameters, optim)]
    return groups


def rate_factors(network: nn.Module, optim: Optim, new: tuple[str, ...]) -> dict[str, float]:
    """Name of each parameter -> its learning rate as a part of the whole one.

    Attention and the last layer have the whole one. A block of the backbone has `layer_decay` times
    the rate of the next one, and the last block that of the last layer (ELECTRA, arXiv:2003.10555).
    """
    names = [name for name, _ in network.named_parameters()]
    if optim.layer_decay == 1:
        return {n: 1.0 if n.startswith(new) else optim.backbone_lr_factor for n in names}
    assert isinstance(network, Backbone), "layer_decay is for networks with units"
    depths = depths_of(network)
    last = 1 + max(depths.values())
    decays = {name: optim.layer_decay ** (last - depth) for name, depth in depths.items()}
    return {n: 1.0 if n.startswith(new) else optim.backbone_lr_factor * decays[n] for n in names}


def decaying_groups(parameters: list[nn.Parameter], optim: Optim) -> list[dict[str, Any]]:
    """The groups with and without weight decay, except empty ones."""
    decayed = [p for p in parameters if p.ndim > 1 or optim.decay_norm_and_bias]
    vectors = [p for p in parameters if p.ndim <= 1 and not optim.decay_norm_and_bias]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
