"""Attention that a network brings along: EfficientNet, MobileNetV3 and RegNetY have theirs."""

from torch import fx, nn

# By the names of their classes: torchvision's.
OWN = ("SqueezeExcitation",)


def take_out_own(network: nn.Module, graph: fx.Graph) -> list[str]:
    """Let the network's own attention pass its input on; the paths of the modules taken out.

    An arm without attention must have none, and another attention takes its place.
    """
    nodes = [node for node in graph.nodes if is_own(network, node)]
    for node in nodes:
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    return [str(node.target) for node in nodes]


def is_own(network: nn.Module, node: fx.Node) -> bool:
    """Whether the node calls attention."""
    if node.op != "call_module":
        return False
    return type(network.get_submodule(str(node.target))).__name__ in OWN
