"""BatchNorm folded into the convolution or linear layer before it, where that changes nothing.

    bn(W x) = (g / sqrt(v + eps)) W x + (b - g m / sqrt(v + eps))

The graph of the traced network tells which: the layer's output must go to the BatchNorm alone, and
both must be used once. A BatchNorm that reads a sum stays, as in pre-activation networks, and so
does one whose input is also a shortcut.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

aten = torch.ops.aten
LAYERS = (aten.conv1d.default, aten.conv2d.default, aten.linear.default)
NORM = aten.batch_norm.default


Pair = tuple[str, str]  # the paths of a layer and of the BatchNorm behind it


def foldable(program: ExportedProgram) -> list[Pair]:
    """Every pair in the program of a network in evaluation mode."""
    names = program.graph_signature.inputs_to_parameters
    pairs = []
    for norm in program.graph.nodes:
        if norm.target is NORM and feeds_only(norm.args[0], norm):
            pair = path_of(norm.args[0].args[1], names), path_of(norm.args[1], names)
            pairs += [pair] if all(pair) else []
    return pairs


def feeds_only(layer: object, norm: Node) -> bool:
    """Whether a convolution or linear layer feeds the norm and nothing else."""
    return isinstance(layer, Node) and layer.target in LAYERS and set(layer.users) == {norm}


def path_of(weight: object, names: Mapping[str, str]) -> str:
    """The path of the module that owns the weight; "" if it is no weight, or is used twice."""
    if not isinstance(weight, Node) or len(weight.users) != 1 or weight.name not in names:
        return ""
    path, _, name = names[weight.name].rpartition(".")
    return path if name == "weight" else ""


def fold(model: nn.Module, pairs: Sequence[Pair]) -> None:
    """Put each BatchNorm's scale and shift into the layer before it, and Identity in its place."""
    for layer, norm in pairs:
        model.set_submodule(layer, fused(model.get_submodule(layer), model.get_submodule(norm)))
        model.set_submodule(norm, nn.Identity())


def fused(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """One layer that computes both."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return fuse_conv_bn_eval(layer, norm)
