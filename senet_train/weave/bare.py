"""A library's bare network, built on whatever device holds, and with its weights made ours."""

from collections.abc import Callable

import torch
from torch import nn

from senet_train.weave.network import WovenNetwork, weave
from senet_train.weave.own import say_what_is_lost
from senet_train.weave.pretrained import Weights, load


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
