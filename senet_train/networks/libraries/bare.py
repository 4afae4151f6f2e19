"""A library's bare network, built on whatever device holds, and with its weights made ours."""

import logging
from collections.abc import Callable

import torch
from torch import nn

from senet_train.networks.graph.own import is_own
from senet_train.networks.graph.woven import WovenNetwork, weave
from senet_train.networks.weights.find import Weights
from senet_train.networks.weights.load import load

log = logging.getLogger("senet_train")


def built(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` builds, on the device that holds now.

    Some networks read numbers off a tensor, and on the meta device there are none: those are built
    on the CPU and moved. Raises what `make` does on any other device.
    """
    try:
        return make()
    except RuntimeError:
        device = torch.empty(0).device
        if device.type != "meta":
            raise
    with torch.device("cpu"):
        network = make()
    return network.to(device)


def woven(network: nn.Module, weights: Weights | None, spare: tuple[str, ...] = ()) -> WovenNetwork:
    """The network with slots, and with the weights if there are any.

    `spare` begins the names of what they may have besides. Raises InputError for weights that do
    not fit, and for a network that is not for attention.
    """
    if weights is not None:
        load(network, weights, spare)
        say_what_is_lost(network, weights)
    return weave(network)


def say_what_is_lost(network: nn.Module, weights: Weights) -> None:
    """A line on attention that has learnt something, and will be taken out."""
    own = [name for name, module in network.named_modules() if is_own(module)]
    if own and weights.read and not next(network.parameters()).is_meta:
        log.warning(
            "warning: attention of its own (%d modules) is taken out with what it learnt: the "
            "logits are not those that %s had",
            *(len(own), weights.source),
        )
