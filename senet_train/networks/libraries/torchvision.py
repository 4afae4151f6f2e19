"""The convolutional classifiers of torchvision, with attention slots."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torchvision import models

from senet_train.config.suggest import suggestion
from senet_train.errors import InputError
from senet_train.networks.graph.weave import WovenNetwork
from senet_train.networks.libraries.build import build_on_current_device, weave_with_weights
from senet_train.networks.weights.find import Published, Weights, find_weights, unread_weights

log = logging.getLogger("senet_train")


# Why a network of torchvision is not for attention over channels of maps.
NOT_CONVOLUTIONAL = {
    "vit": "it has tokens and no maps",
    "swin": "its windows of tokens have attention of their own",
    "maxvit": "its attention over windows is in every block",
}
# Without auxiliary heads, and without their slow initialisation by truncated normals.
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}
# Networks whose published weights are for images on another scale, and have these further tensors.
PORTED: dict[str, tuple[str, ...]] = {
    "googlenet": ("aux1.", "aux2."),
    "inception_v3": ("AuxLogits.",),
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


def build(
    name: str,
    num_classes: int,
    weights: Weights | None = None,
    *,
    pretrained: bool | str = False,
) -> WovenNetwork:
    """The network with slots, its weights drawn from the global generator, or loaded.

    `weights` are those that `pretrained` names, if they have been found already. Raises
    InputError for weights that do not fit.
    """
    if pretrained is not False and weights is None:
        weights = weights_of(name, pretrained)
    as_published = weights is not None and weights.fingerprint == published(name).fingerprint
    network = plain_network(name, num_classes, as_published=as_published)
    if weights is not None and name in PORTED and not as_published:
        warn_of_input_scale(network, weights)
    return weave_with_weights(network, weights, PORTED.get(name, ()))


def warn_of_input_scale(network: nn.Module, weights: Weights) -> None:
    """Log that the images may have another scale than that on which the weights were trained."""
    if weights.read and not next(network.parameters()).is_meta:
        log.warning(
            "warning: %s: if these weights began as torchvision's own (model.pretrained=true), "
            "they see colours on another scale than this network gives them",
            weights.source,
        )


def published(name: str) -> Published:
    """torchvision's own weights of a network: those it calls its best."""
    best: Any = models.get_model_weights(name)
    return Published(best.DEFAULT.name, best.DEFAULT.url)


def weights_of(name: str, pretrained: bool | str, *, load_weights: bool = True) -> Weights:
    """The weights that `model.pretrained` names; without `load_weights` no file is looked for.

    Raises InputError.
    """
    find = find_weights if load_weights else unread_weights
    return find(pretrained, published(name))


def plain_network(name: str, num_classes: int, *, as_published: bool = False) -> nn.Module:
    """The network as torchvision has it, without slots, on torch's current device.

    `as_published`: with the scaling of its input that its published weights need.
    """
    options = OPTIONS.get(name, {})
    if as_published and name in PORTED:
        options = options | {"transform_input": True}
    constructor = partial(models.get_model, name, weights=None, num_classes=num_classes, **options)
    return build_on_current_device(constructor)
