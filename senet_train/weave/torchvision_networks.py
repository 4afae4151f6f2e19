"""The convolutional classifiers of torchvision, with attention slots."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torchvision import models

from senet_train.config import suggestion
from senet_train.errors import InputError
from senet_train.weave.network import WovenNetwork, weave

# Why a network of torchvision is not for attention over channels of maps.
NOT_CONVOLUTIONAL = {
    "vit": "it has tokens and no maps",
    "swin": "its windows of tokens have attention of their own",
    "maxvit": "its attention over windows is in every block",
}
# Without the heads that only training looks at, and without an hour of drawing truncated normals.
FURTHER: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def torchvision_network(name: str) -> Callable[..., WovenNetwork]:
    """`constructor(num_classes, *, options)` of one of torchvision's classifiers.

    Raises InputError for a name that is none, and for a network without convolutions.
    """
    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"there is no torchvision model named {name}{suggestion(name, known)}")
    family = name.partition("_")[0]
    if family in NOT_CONVOLUTIONAL:
        raise InputError(
            f"model.name={name} is not for channel attention: {NOT_CONVOLUTIONAL[family]}, "
            "choose a convolutional network"
        )
    return partial(build, name)


def build(name: str, num_classes: int) -> WovenNetwork:
    """One of them with slots, its weights drawn from the global generator."""
    return weave(bare(name, num_classes))


def bare(name: str, num_classes: int) -> nn.Module:
    """The network as torchvision has it, on the device that holds now."""
    further = FURTHER.get(name, {})
    try:
        return models.get_model(name, weights=None, num_classes=num_classes, **further)
    except NotImplementedError:  # RegNet reads its widths off a tensor, which has none on `meta`
        device = torch.empty(0).device
        with torch.device("cpu"):
            network = models.get_model(name, weights=None, num_classes=num_classes, **further)
        return network.to(device)
