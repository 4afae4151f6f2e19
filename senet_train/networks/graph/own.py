"""Attention that a network brings along, as EfficientNet, RegNetY and SE-ResNet do."""

import logging

from torch import fx, nn

log = logging.getLogger("senet_train")


LIBRARIES = ("torchvision.", "timm.")  # ours has classes of the same names
# By the names of their classes: torchvision's, then timm's.
OWN = (
    *("SqueezeExcitation", "SqueezeExcite", "SqueezeExciteCl", "SEModule"),
    *("EffectiveSEModule", "EseModule", "EcaModule", "CecaModule", "GatherExcite"),
    *("CbamModule", "LightCbamModule", "GlobalContext", "NonLocalAttn", "BatNonLocalAttn"),
    *("CoordAttn", "SimpleCoordAttn", "EfficientLocalAttn", "StripAttn"),
)


def is_own(module: nn.Module) -> bool:
    """Whether the module is attention that maps a map to one of its shape."""
    return type(module).__name__ in OWN and type(module).__module__.startswith(LIBRARIES)


def take_out_own(network: nn.Module, graph: fx.Graph) -> list[str]:
    """Let the network's own attention pass its input on; the paths of the modules taken out.

    An arm without attention must have none, and another attention takes its place.
    """
    nodes = [node for node in graph.nodes if calls_own(network, node)]
    for node in nodes:
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    return [str(node.target) for node in nodes]


def calls_own(network: nn.Module, node: fx.Node) -> bool:
    """Whether the node calls attention."""
    return node.op == "call_module" and is_own(network.get_submodule(str(node.target)))
