"""Whether a network is for attention over channels, from its graph.

It is not where its values are tokens, and not where attention of its own is left that cannot be
taken out, over positions or by a gate: `attention=none` would then not be without attention.
"""

import operator
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional as F

from senet_train.errors import InputError

PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
MATRIX_PRODUCTS = (operator.matmul, torch.matmul, torch.bmm, torch.einsum, "matmul", "bmm")
ATTENTION = (F.scaled_dot_product_attention, torch.softmax, F.softmax, "softmax")
SIGMOIDS = (torch.sigmoid, F.sigmoid, F.hardsigmoid, "sigmoid", "sigmoid_")


def refuse_unsuited(network: nn.Module, graph: fx.Graph) -> None:
    """Raises InputError; attention that can be taken out must have been."""
    seen = seen_from(graph)
    for node in graph.nodes:
        for is_so, why in REASONS.items():
            if node in seen and is_so(network, node, seen):
                raise InputError(
                    f"{type(network).__name__} is not for attention over channels: {why} "
                    f"({node.name}), choose another network"
                )


def seen_from(graph: fx.Graph) -> set[fx.Node]:
    """What hangs on the images."""
    seen: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or seen & set(node.all_input_nodes):
            seen.add(node)
    return seen


def makes_tokens(network: nn.Module, node: fx.Node, seen: set[fx.Node]) -> bool:
    """Whether a layer puts out vectors in a row, (B, N, C)."""
    if node.op != "call_module" or len(node.meta["shape"]) != 3:
        return False
    return any(True for _ in network.get_submodule(str(node.target)).parameters())


def mixes_positions(network: nn.Module, node: fx.Node, seen: set[fx.Node]) -> bool:
    """Whether the node weighs positions, or branches, by each other."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Softmax | nn.RNNBase)
    product = node.target in MATRIX_PRODUCTS and len(seen & set(node.all_input_nodes)) > 1
    return node.target in ATTENTION or product


def is_gated(network: nn.Module, node: fx.Node, seen: set[fx.Node]) -> bool:
    """Whether the node is a sigmoid, or multiplies maps by what is alike all over a map."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Sigmoid | nn.Hardsigmoid)
    factors = [factor.meta["shape"] for factor in node.all_input_nodes if factor in seen]
    product = node.target in PRODUCTS and len(factors) == 2
    spread = product and len(factors[0]) == len(factors[1]) >= 4 and factors[0] != factors[1]
    return spread or node.target in SIGMOIDS


REASONS: dict[Callable[[nn.Module, fx.Node, set[fx.Node]], bool], str] = {
    makes_tokens: "it has tokens and no maps",
    mixes_positions: "it has attention of its own that cannot be taken out",
    is_gated: "it has gates of its own that cannot be taken out",
}
