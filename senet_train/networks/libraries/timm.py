"""The convolutional classifiers of timm, with attention slots.

The package is optional and imported late: its modules take a second.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from senet_train.config.suggest import suggestion
from senet_train.errors import InputError
from senet_train.networks.graph.weave import WovenNetwork
from senet_train.networks.libraries.build import build_on_current_device, weave_with_weights
from senet_train.networks.weights.find import Published, Weights, find_weights, unread_weights
from senet_train.networks.weights.refused import reason

HASH = re.compile(r"-[0-9a-f]{8,}\.")  # in the name of a file of weights
UNPUBLISHED = Published("timm", "-00000000.")  # a hash that no file has: nothing is fetched


def timm_network(name: str) -> Callable[..., WovenNetwork]:
    """`constructor(num_classes, *, options)` of one of timm's classifiers.

    Raises InputError for a name that is none, for a network with tokens, and where timm is missing.
    """
    known = timm().list_models()
    bare_name, _, tag = name.partition(".")
    if tag and bare_name in known:
        raise InputError(
            f"model.name={name}: what follows the point names weights and not a network, choose "
            f"model.name={bare_name}"
        )
    if name not in known:
        raise InputError(f"there is no timm model named {name}{suggestion(name, known)}")
    config: Any = timm().get_pretrained_cfg(name)
    if config and config.fixed_input_size:
        raise InputError(
            f"model.name={name} is not for channel attention: it takes images of one size alone, "
            "on which its tokens or its attention over positions hang, choose a convolutional "
            "network"
        )
    return partial(build, name)


def timm() -> ModuleType:
    """The package. Raises InputError where it is missing."""
    try:
        import timm as package
    except ImportError:
        raise InputError(
            "model.library=timm needs the package timm: pip install 'senet-train[timm]'"
        ) from None
    return package


def build(
    name: str,
    num_classes: int,
    weights: Weights | None = None,
    *,
    pretrained: bool | str = False,
) -> WovenNetwork:
    """The network with slots, its weights drawn from the global generator, or loaded.

    `weights` are those that `pretrained` names, if they have been found already. Raises
    InputError for weights that do not fit, and for a network that is not for attention over
    channels.
    """
    if pretrained is not False and weights is None:
        weights = timm_weights(name, pretrained)
    return weave_with_weights(plain_network(name, num_classes), weights)


def plain_network(name: str, num_classes: int) -> nn.Module:
    """The network as timm has it, without slots, on torch's current device."""
    return build_on_current_device(partial(timm().create_model, name, num_classes=num_classes))


def timm_weights(name: str, pretrained: bool | str, *, load_weights: bool = True) -> Weights:
    """The weights that `model.pretrained` names; without `load_weights` no file is looked for.

    Raises InputError, for `true` also where timm lists no file with a hash in its name: what the
    hub has under a name may change, and only a fetch would tell what it is.
    """
    own = published(name)
    if pretrained is True and own is UNPUBLISHED:
        raise InputError(
            f"model.pretrained=true: timm lists no weights of {name} whose hash is known before "
            "they are fetched, download them and give model.pretrained=FILE"
        )
    found = (find_weights if load_weights else unread_weights)(pretrained, own)
    if found.fingerprint != own.fingerprint or found.read is None:
        return found
    return replace(found, shapes=None, read=partial(read_old_names, name, found.read))


def published(name: str) -> Published:
    """timm's own weights of a network, if they are a file over https whose name has its hash."""
    config: Any = timm().get_pretrained_cfg(name)
    url = config.url if config and isinstance(config.url, str) else ""
    if not url.startswith("https:") or not HASH.search(url):
        return UNPUBLISHED
    return Published(config.tag or "timm", url)


def read_old_names(name: str, read: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of an old file, renamed by timm as its present network names them.

    Raises InputError where timm cannot read them.
    """
    tensors, config = read(), timm().get_pretrained_cfg(name)
    further = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": tensors}}
    try:
        with torch.device("cpu"):
            network = timm().create_model(name, num_classes=config.num_classes, **further)
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"timm {timm().__version__} cannot read its weights of {name} ({reason(error)}): give "
            "model.pretrained=FILE"
        ) from error
    return dict(network.state_dict())
