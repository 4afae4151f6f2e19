"""Build a library's plain network, load its weights and weave attention slots into it."""

import logging
from collections.abc import Callable

import torch
from torch import nn

from senet_train.networks.graph.own_attention import is_own_attention
from senet_train.networks.graph.weave import WovenNetwork, weave
from senet_train.networks.weights.find import Weights
from senet_train.networks.weights.load import load

log = logging.getLogger("senet_train")


def build_on_current_device(constructor: Callable[[], nn.Module]) -> nn.Module:
    """The network on torch's current device (`with torch.device(...)`).

    Some constructors read the values of a tensor, and on the meta device there are none: those
    networks are built on the CPU and moved. Raises what the constructor raises on other devices.
    """
    try:
        return constructor()
    except RuntimeError:
        device = torch.empty(0).device
        if device.type != "meta":
            raise
    with torch.device("cpu"):
        network = constructor()
    return network.to(device)


def weave_with_weights(
    network: nn.Module, weights: Weights | None, left_out: tuple[str, ...] = ()
) -> WovenNetwork:
    """The network with its pretrained weights, if there are any, and with slots.

    `left_out` are prefixes of tensors that the weights have and the network has not. Raises
    InputError for weights that do not fit, and for a network that is not for attention.
    """
    if weights is not None:
        load(network, weights, left_out)
        warn_of_lost_attention(network, weights)
    return weave(network)


def warn_of_lost_attention(network: nn.Module, weights: Weights) -> None:
    """Log that attention with trained weights will be taken out, where that is so."""
    own = [name for name, module in network.named_modules() if is_own_attention(module)]
    if own and weights.read and not next(network.parameters()).is_meta:
        log.warning(
            "warning: attention of its own (%d modules) is taken out with what it learnt: the "
            "logits are not those that %s had",
            *(len(own), weights.source),
        )
