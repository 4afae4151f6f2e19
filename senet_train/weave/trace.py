"""A network as a graph of its modules and functions, with the shape of every value.

Shapes: of two images, as the network would see them at PROBE_SIZE; BatchNorm in training refuses
one whose maps have shrunk to a pixel.
"""

from contextlib import redirect_stderr
from io import StringIO

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.shape_prop import ShapeProp

from senet_train.errors import InputError

PROBE_SIZE = 320  # pixels: every network of torchvision has maps left at its end
LEAVES = ("torch.nn.", "torchvision.ops.")


class ModuleTracer(fx.Tracer):
    """Sees modules of torch and torchvision.ops as one operation each.

    What decides by `training` (StochasticDepth) must stay a module: a graph would fix the decision.
    """

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        """Whether not to look inside."""
        inside = isinstance(module, nn.Sequential)
        return f"{type(module).__module__}.".startswith(LEAVES) and not inside


def trace(network: nn.Module) -> fx.Graph:
    """The graph of a network, each node's shape in `meta["shape"]` if it has one.

    Raises InputError where the network has no fixed graph or takes more than one map.
    """
    try:
        graph = ModuleTracer().trace(network)
    except Exception as error:  # its code decides by values, and does so in many ways
        raise InputError(
            f"{type(network).__name__} has no fixed graph to put attention into ({error}): "
            "choose another network"
        ) from error
    see_shapes(network, graph)
    graph.owning_module = None  # what comes in later is not in that one
    for node in graph.nodes:
        found = node.meta.get("tensor_meta")
        node.meta["shape"] = tuple(found.shape) if hasattr(found, "shape") else ()
    return graph


def see_shapes(network: nn.Module, graph: fx.Graph) -> None:
    """Note the shape of every value. Raises InputError where the network takes no such images."""
    channels = channels_of(network)
    try:
        # Shapes alone: nothing is computed. Of an error, torch prints the traceback.
        with FakeTensorMode(allow_non_fake_inputs=True) as mode, redirect_stderr(StringIO()):
            like = next(network.parameters())
            size = (2, channels, PROBE_SIZE, PROBE_SIZE)
            images = torch.empty(size, device=like.device, dtype=like.dtype)
            ShapeProp(fx.GraphModule(network, graph), mode).propagate(images)
    except Exception as error:  # whatever the network's code may raise
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise InputError(
            f"{type(network).__name__} takes no maps of {channels} channels and {PROBE_SIZE} px "
            f"({reason}): choose what takes one image or map, and nothing else"
        ) from error


def channels_of(network: nn.Module) -> int:
    """What its first convolution takes; 3 if it has none."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return next((module.in_channels for module in convolutions), 3)
