"""A network as a graph of its modules and functions, with the shape of every value.

Shapes: of two images, as the network would see them at the first of PROBE_SIZES that it takes;
BatchNorm in training refuses one whose maps have shrunk to a pixel.
"""

import copy
import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from senet_train.config.image_size import ImageSize, height_width, size_words, typed_size
from senet_train.errors import InputError
from senet_train.networks.graph.own_attention import is_own_attention
from senet_train.networks.graph.woven import module_at, tensor_at

# Pixels: at 320 every network of torchvision has maps left at its end; some take one size alone.
PROBE_SIZES = (320, 224, 32, 28, 64, 96, 128, 256)
LONGEST_REASON = 200  # characters of another's error, in a line of ours
LEAVES = ("torch.nn.", "torchvision.ops.")
TIMM_LAYERS = "timm.layers."  # leaves, but for those that hold convolutions
HEADS = ("ConvMlp",)  # VGG's in timm: two layers behind the last map
DROPOUTS = {F.dropout: nn.Dropout, F.dropout2d: nn.Dropout2d}
LAYERS = (nn.Conv2d, _BatchNorm, nn.LayerNorm, nn.GroupNorm)  # and what is derived from them


class ModuleTracer(fx.Tracer):
    """Traces modules of torch, torchvision.ops and timm.layers as one operation each.

    What decides by `training` (StochasticDepth) must stay a module: a graph would fix the decision.
    """

    def __init__(self, network: nn.Module) -> None:
        self.untraceable, functions = untraceable(network)
        super().__init__(autowrap_functions=functions)

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        """Whether the module is one operation of the graph."""
        if isinstance(module, nn.Sequential):
            return False
        defined_in = f"{type(module).__module__}."
        small = defined_in.startswith(TIMM_LAYERS) and num_convolutions(module) == 0
        layer = isinstance(module, LAYERS) or is_own_attention(module)
        known = defined_in.startswith(LEAVES) or isinstance(module, self.untraceable)
        return known or small or layer


def untraceable(
    network: nn.Module,
) -> tuple[tuple[type[nn.Module], ...], tuple[Callable[..., Any], ...]]:
    """Classes and functions that torch.fx must not trace into, as their library says."""
    if not any(type(module).__module__.startswith("timm.") for module in network.modules()):
        return (), ()
    from timm.layers import get_notrace_functions, get_notrace_modules

    functions = [function for function in get_notrace_functions() if callable(function)]
    return tuple(get_notrace_modules()), tuple(functions)


def num_convolutions(module: nn.Module) -> int:
    """How many the module has, itself included."""
    return sum(isinstance(inside, nn.Conv2d) for inside in module.modules())


def trace(network: nn.Module, image_size: ImageSize = PROBE_SIZES[0]) -> fx.Graph:
    """The graph of a network, each node's shape in `meta["shape"]` if it has one.

    Shapes are of images of `image_size` pixels, or of another size where the network refuses that.

    Raises InputError where the network has no fixed graph or takes more than one map.
    """
    refuse_own_forward(network)
    try:
        graph = ModuleTracer(network).trace(network)
    except Exception as error:  # its code decides by values, and does so in many ways
        raise InputError(
            f"{type(network).__name__} has no fixed graph to put attention into "
            f"({first_line(error)}{line_of(error)}): choose another network, or a part of this one"
        ) from error
    refuse_untraceable(network, graph)
    replace_dropout_calls(network, graph)
    record_shapes(network, graph, image_size)
    graph.owning_module = None  # modules that are added later are not in that one
    return graph


def line_of(error: Exception) -> str:
    """`, at model.py:12`: the last line of the network's own code that the error came by.

    "" where all of it is torch's or ours.
    """
    packages = (Path(torch.__file__).parent, Path(__file__).parents[2])
    others = ("<", *(f"{package}{os.sep}" for package in packages))
    frames = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(others)]
    return f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def refuse_own_forward(network: nn.Module) -> None:
    """Raises InputError for a forward set on the object: torch.fx would trace that of its class."""
    if "forward" in vars(network):
        raise InputError(
            f"this {type(network).__name__} has a forward that was set on the object, and the "
            "graph would be that of its class: write it into a class"
        )


def refuse_untraceable(network: nn.Module, graph: fx.Graph) -> None:
    """Raises InputError for a block that is not traced: it may hold units, or attention."""
    classes, _ = untraceable(network)
    for node in graph.nodes:
        leaf = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        name = type(leaf).__name__
        if leaf and isinstance(leaf, classes) and not is_own_attention(leaf) and name not in HEADS:
            layers = [m for m in leaf.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            if len(layers) > 1:
                raise InputError(
                    f"{type(network).__name__} has no fixed graph to put attention into (torch.fx "
                    f"cannot look into {name}): choose another network"
                )


def replace_dropout_calls(network: nn.Module, graph: fx.Graph) -> None:
    """Dropout as a function becomes a module: tracing has fixed the mode of the function."""
    calls = [node for node in graph.nodes if node.target in DROPOUTS]
    for number, node in enumerate(calls):
        p = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
        name = free_name(network, f"dropout_{number}")
        network.add_module(name, DROPOUTS[node.target](p))
        with graph.inserting_after(node):
            module = graph.call_module(name, (node.all_input_nodes[0],))
        node.replace_all_uses_with(module)
        graph.erase_node(node)


def free_name(module: nn.Module, name: str) -> str:
    """The name, or one like it, for a further child."""
    while hasattr(module, name) or not name:
        name += "_"
    return name


def record_shapes(network: nn.Module, graph: fx.Graph, image_size: ImageSize) -> None:
    """Record the shape of every value. Raises InputError where the network takes no such images."""
    # The first convolution may read a part of the image, and then its channels are not the image's.
    tried = dict.fromkeys((input_channels(network), 3))
    reasons = []
    sizes = dict.fromkeys(map(height_width, (image_size, *PROBE_SIZES)))
    for size in sizes:
        for channels in tried:
            try:
                propagate_shapes(network, graph, channels, size)
                return
            except Exception as error:  # whatever the network's code may raise
                reasons.append(first_line(error))
    others = ", ".join(map(typed_size, list(sizes)[1:]))
    raise InputError(
        f"{type(network).__name__} takes no maps of {next(iter(tried))} channels and "
        f"{size_words(image_size)} ({reasons[0]}), nor of {others} px: give "
        "weave(network, image_size=...) the size that it takes, or pool before its last layer "
        "(nn.AdaptiveAvgPool2d); it may take nothing but one image or map"
    )


def propagate_shapes(network: nn.Module, graph: fx.Graph, channels: int, size: ImageSize) -> None:
    """Shapes alone: on the meta device nothing is computed, and no weight is copied."""
    dtype = next((parameter.dtype for parameter in network.parameters()), torch.float32)
    with torch.device("meta"), torch.no_grad():
        images = torch.empty(2, channels, *height_width(size), dtype=dtype)
        Shapes(network, graph=graph).run(images)


class Shapes(fx.Interpreter):
    """Keeps the shape of every value in `meta["shape"]` of its node, () if it is no tensor.

    A child may be called like a method.
    """

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else ()
        return value

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the module at a path makes of it; what it keeps of it is in a copy."""
        module = copy.copy(module_at(self.module, target))
        if keeps_shape(module, *args):
            module.forward = pass_on
        tensors = chain(module.named_parameters(), module.named_buffers())
        on_meta = {name: tensor.to("meta") for name, tensor in tensors}
        return functional_call(module, on_meta, args, kwargs)

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """The tensor at a path."""
        parent, _, name = target.rpartition(".")
        return tensor_at(module_at(self.module, parent), name).to("meta")


def keeps_shape(module: nn.Module, *inputs: Any) -> bool:
    """Whether the module is BatchNorm and takes these maps: on the meta device it is most of it."""
    if not is_plain_norm(module) or len(inputs) != 1:
        return False
    return inputs[0].dim() == 4 and inputs[0].shape[1] == module.num_features


def is_plain_norm(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether it is a BatchNorm2d whose `forward` nobody has replaced."""
    return type(module) is nn.BatchNorm2d and "forward" not in vars(module)


def pass_on(x: Tensor) -> Tensor:
    """In the place of a layer that changes no shape."""
    return x


def first_line(error: BaseException) -> str:
    """The first line of an error, which may have many."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:LONGEST_REASON]


def input_channels(network: nn.Module) -> int:
    """The input channels of its first convolution; 3 if it has none."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return next((module.in_channels for module in convolutions), 3)
