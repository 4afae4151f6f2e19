"""A network as a graph of its modules and functions, with the shape of every value.

Shapes: of one image, as the network would see it at PROBE_SIZE.
"""

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

    Raises InputError where the network has no fixed graph.
    """
    try:
        graph = ModuleTracer().trace(network)
    except Exception as error:  # its code decides by values, and does so in many ways
        raise InputError(
            f"{type(network).__name__} has no fixed graph to put attention into ({error}): "
            "choose another network"
        ) from error
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:  # shapes alone: nothing is computed
        image = torch.empty(1, 3, PROBE_SIZE, PROBE_SIZE, device=device_of(network))
        ShapeProp(fx.GraphModule(network, graph), mode).propagate(image)
    graph.owning_module = None  # what comes in later is not in that one
    for node in graph.nodes:
        found = node.meta.get("tensor_meta")
        node.meta["shape"] = tuple(found.shape) if hasattr(found, "shape") else ()
    return graph


def device_of(network: nn.Module) -> torch.device:
    """Where its parameters are."""
    return next(network.parameters()).device
