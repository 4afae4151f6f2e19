"""A network as a graph of its modules and functions, with the shape of every value.

Shapes: of two images, as the network would see them at PROBE_SIZE; BatchNorm in training refuses
one whose maps have shrunk to a pixel.
"""

from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from senet_train.errors import InputError
from senet_train.networks.graph.own import is_own

PROBE_SIZE = 320  # pixels: every network of torchvision has maps left at its end
LEAVES = ("torch.nn.", "torchvision.ops.")
PARTS = "timm.layers."  # small ones, and some that hold convolutions
HEADS = ("ConvMlp",)  # VGG's in timm: two layers behind the last map
DROPOUTS = {F.dropout: nn.Dropout, F.dropout2d: nn.Dropout2d}
LAYERS = (nn.Conv2d, _BatchNorm, nn.LayerNorm, nn.GroupNorm)  # and what is derived from them


class ModuleTracer(fx.Tracer):
    """Sees modules of torch, torchvision.ops and timm.layers as one operation each.

    What decides by `training` (StochasticDepth) must stay a module: a graph would fix the decision.
    """

    def __init__(self, network: nn.Module) -> None:
        self.opaque, functions = known_opaque(network)
        super().__init__(autowrap_functions=functions)

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        """Whether not to look inside."""
        if isinstance(module, nn.Sequential):
            return False
        home = f"{type(module).__module__}."
        part = home.startswith(PARTS) and num_convolutions(module) == 0
        layer = isinstance(module, LAYERS) or is_own(module)
        return home.startswith(LEAVES) or part or layer or isinstance(module, self.opaque)


def known_opaque(
    network: nn.Module,
) -> tuple[tuple[type[nn.Module], ...], tuple[Callable[..., Any], ...]]:
    """The classes and functions of which their library says that torch.fx must not look inside."""
    if not any(type(module).__module__.startswith("timm.") for module in network.modules()):
        return (), ()
    from timm.layers import get_notrace_functions, get_notrace_modules

    functions = [function for function in get_notrace_functions() if callable(function)]
    return tuple(get_notrace_modules()), tuple(functions)


def num_convolutions(module: nn.Module) -> int:
    """How many it has, itself included."""
    return sum(isinstance(inside, nn.Conv2d) for inside in module.modules())


def trace(network: nn.Module) -> fx.Graph:
    """The graph of a network, each node's shape in `meta["shape"]` if it has one.

    Raises InputError where the network has no fixed graph or takes more than one map.
    """
    try:
        graph = ModuleTracer(network).trace(network)
    except Exception as error:  # its code decides by values, and does so in many ways
        raise InputError(
            f"{type(network).__name__} has no fixed graph to put attention into ({error}): "
            "choose another network"
        ) from error
    refuse_hidden(network, graph)
    follow_mode(network, graph)
    see_shapes(network, graph)
    graph.owning_module = None  # what comes in later is not in that one
    for node in graph.nodes:
        found = node.meta.get("tensor_meta")
        node.meta["shape"] = tuple(found.shape) if hasattr(found, "shape") else ()
    return graph


def refuse_hidden(network: nn.Module, graph: fx.Graph) -> None:
    """Raises InputError where a block cannot be looked into: it may hold units, or attention."""
    opaque, _ = known_opaque(network)
    for node in graph.nodes:
        leaf = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        name = type(leaf).__name__
        if leaf and isinstance(leaf, opaque) and not is_own(leaf) and name not in HEADS:
            layers = [m for m in leaf.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            if len(layers) > 1:
                raise InputError(
                    f"{type(network).__name__} has no fixed graph to put attention into (torch.fx "
                    f"cannot look into {name}): choose another network"
                )


def follow_mode(network: nn.Module, graph: fx.Graph) -> None:
    """Dropout that was called as a function becomes a module: the call has fixed its mode."""
    calls = [node for node in graph.nodes if node.target in DROPOUTS]
    for number, node in enumerate(calls):
        p = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
        network.add_module(f"dropout_{number}", DROPOUTS[node.target](p))
        with graph.inserting_after(node):
            module = graph.call_module(f"dropout_{number}", (node.all_input_nodes[0],))
        node.replace_all_uses_with(module)
        graph.erase_node(node)


def see_shapes(network: nn.Module, graph: fx.Graph) -> None:
    """Note the shape of every value. Raises InputError where the network takes no such images."""
    tried = dict.fromkeys((channels_of(network), 3))  # a first convolution may read parts of images
    reasons = {}
    for channels in tried:
        try:
            propagate(network, graph, channels)
            return
        except Exception as error:  # whatever the network's code may raise
            cause = error.__cause__ or error
            reasons[channels] = str(cause).partition("\n")[0] or type(cause).__name__
    channels, reason = next(iter(reasons.items()))
    raise InputError(
        f"{type(network).__name__} takes no maps of {channels} channels and {PROBE_SIZE} px "
        f"({reason}): choose what takes one image or map, and nothing else"
    )


def propagate(network: nn.Module, graph: fx.Graph, channels: int) -> None:
    """Shapes alone: nothing is computed. Of an error, torch prints the traceback."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, redirect_stderr(StringIO()):
        like = next(network.parameters())
        size = (2, channels, PROBE_SIZE, PROBE_SIZE)
        images = torch.empty(size, device=like.device, dtype=like.dtype)
        ShapeProp(fx.GraphModule(network, graph), mode).propagate(images)


def channels_of(network: nn.Module) -> int:
    """What its first convolution takes; 3 if it has none."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return next((module.in_channels for module in convolutions), 3)
