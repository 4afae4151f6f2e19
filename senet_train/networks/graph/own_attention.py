"""Attention that a network brings along, as EfficientNet, RegNetY and SE-ResNet do.

Attention over channels is taken out, for `attention=none` must be a network without any. A network
is refused where that cannot be done: where its values are tokens, and where what is left is
attention over positions, or a gate.
"""

import operator
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional as F

from senet_train.errors import InputError

LIBRARIES = ("torchvision.", "timm.")  # ours has classes of the same names
# By the names of their classes: torchvision's, then timm's.
OWN_ATTENTION = (
    *("SqueezeExcitation", "SqueezeExcite", "SqueezeExciteCl", "SEModule"),
    *("EffectiveSEModule", "EseModule", "EcaModule", "CecaModule", "GatherExcite"),
    *("CbamModule", "LightCbamModule", "GlobalContext", "NonLocalAttn", "BatNonLocalAttn"),
    *("CoordAttn", "SimpleCoordAttn", "EfficientLocalAttn", "StripAttn"),
)
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
MATRIX_PRODUCTS = (operator.matmul, torch.matmul, torch.bmm, torch.einsum, "matmul", "bmm")
SOFTMAXES = (F.scaled_dot_product_attention, torch.softmax, F.softmax, "softmax")
SIGMOIDS = (torch.sigmoid, F.sigmoid, F.hardsigmoid, "sigmoid", "sigmoid_")


def is_own_attention(module: nn.Module) -> bool:
    """Whether the module is a library's attention, which keeps the shape of its input."""
    return type(module).__name__ in OWN_ATTENTION and type(module).__module__.startswith(LIBRARIES)


def remove_own_attention(network: nn.Module, graph: fx.Graph) -> list[str]:
    """Erase the calls of the network's own attention; the paths of the modules that were called."""
    nodes = [
        node
        for node in graph.nodes
        if node.op == "call_module" and is_own_attention(network.get_submodule(str(node.target)))
    ]
    for node in nodes:
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    return [str(node.target) for node in nodes]


def refuse_remaining_attention(network: nn.Module, graph: fx.Graph) -> None:
    """Raises InputError for tokens, and for attention that `remove_own_attention` has left."""
    dependent = input_dependent(graph)
    for node in graph.nodes:
        for is_so, why in REASONS.items():
            if node in dependent and is_so(network, node, dependent):
                raise InputError(
                    f"{type(network).__name__} is not for attention over channels: {why} "
                    f"({node.name}), choose another network"
                )


def input_dependent(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose values depend on the images."""
    dependent: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or dependent & set(node.all_input_nodes):
            dependent.add(node)
    return dependent


def makes_tokens(network: nn.Module, node: fx.Node, dependent: set[fx.Node]) -> bool:
    """Whether a layer puts out vectors in a row, (B, N, C)."""
    if node.op != "call_module" or len(node.meta["shape"]) != 3:
        return False
    return any(True for _ in network.get_submodule(str(node.target)).parameters())


def mixes_positions(network: nn.Module, node: fx.Node, dependent: set[fx.Node]) -> bool:
    """Whether the node weighs positions, or branches, by each other."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Softmax | nn.RNNBase)
    product = node.target in MATRIX_PRODUCTS and len(dependent & set(node.all_input_nodes)) > 1
    return node.target in SOFTMAXES or product


def is_gated(network: nn.Module, node: fx.Node, dependent: set[fx.Node]) -> bool:
    """Whether the node is a sigmoid, or multiplies maps by a tensor that broadcasts over them."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Sigmoid | nn.Hardsigmoid)
    factors = [factor.meta["shape"] for factor in node.all_input_nodes if factor in dependent]
    product = node.target in PRODUCTS and len(factors) == 2
    broadcast = product and len(factors[0]) == len(factors[1]) >= 4 and factors[0] != factors[1]
    return broadcast or node.target in SIGMOIDS


REASONS: dict[Callable[[nn.Module, fx.Node, set[fx.Node]], bool], str] = {
    makes_tokens: "it has tokens and no maps",
    mixes_positions: "it has attention of its own that cannot be taken out",
    is_gated: "it has gates of its own that cannot be taken out",
}
