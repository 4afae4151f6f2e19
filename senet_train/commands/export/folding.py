"""BatchNorm folded into the convolution or linear layer before it, where that changes nothing.

    bn(W x) = (g / sqrt(v + eps)) W x + (b - g m / sqrt(v + eps))

The graph of the traced network says which: the layer's output must go to the BatchNorm alone, and
both must be used once. A pre-activation network's BatchNorms that read a sum stay, and so does one
whose input is also a shortcut.
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
        if norm.target is NORM and is_only_for(norm, norm.args[0]):
            pair = path_of(norm.args[0].args[1], names), path_of(norm.args[1], names)
            pairs += [pair] if all(pair) else []
    return pairs


def is_only_for(norm: Node, layer: object) -> bool:
    """Whether a convolution or linear layer feeds the norm and nothing else."""
    return isinstance(layer, Node) and layer.target in LAYERS and set(layer.users) == {norm}


def path_of(weight: object, names: Mapping[str, str]) -> str:
    """The path of the module whose weight it is, "" if it is none's or several calls'."""
    if not isinstance(weight, Node) or len(weight.users) != 1 or weight.name not in names:
        return ""
    path, _, name = names[weight.name].rpartition(".")
    return path if name == "weight" else ""


def fold(model: nn.Module, pairs: Sequence[Pair]) -> None:
    """Replace each layer by one with the BatchNorm's scale and shift, each BatchNorm by nothing."""
    for layer, norm in pairs:
        put(model, layer, fused(model.get_submodule(layer), model.get_submodule(norm)))
        put(model, norm, nn.Identity())


def put(model: nn.Module, path: str, module: nn.Module) -> None:
    """Set the child at the path."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def fused(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """One layer that does the work of both."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return fuse_conv_bn_eval(layer, norm)
