"""The data flow of a traced network: which nodes lie before, between and behind others."""

from dataclasses import dataclass, field

from torch import fx, nn
from torchvision.ops import FrozenBatchNorm2d

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU, nn.Identity)
NORMS_AND_ACTIVATIONS = (*ACTIVATIONS, nn.BatchNorm2d, FrozenBatchNorm2d)


@dataclass(frozen=True)
class Edge:
    """A value on its way: from the node that computes it to some of the nodes that use it."""

    source: fx.Node
    users: tuple[fx.Node, ...]

    @property
    def channels(self) -> int:
        """Of the map."""
        return int(self.source.meta["shape"][1])


@dataclass(frozen=True)
class Unit:
    """One unit: its module's path, the height of its maps in the trace, and its positions."""

    name: str
    size: int
    positions: dict[str, Edge] = field(default_factory=dict)


@dataclass
class Dataflow:
    """A network, its graph, and every node's ancestors: the nodes that its value depends on."""

    network: nn.Module
    graph: fx.Graph

    def __post_init__(self) -> None:
        self.order = {node: number for number, node in enumerate(self.graph.nodes)}
        self.ancestors: dict[fx.Node, set[fx.Node]] = {}  # of each node, itself included
        for node in self.graph.nodes:
            found = {node}
            for argument in node.all_input_nodes:
                found |= self.ancestors[argument]
            self.ancestors[node] = found

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that the node calls, if it calls one."""
        return self.network.get_submodule(str(node.target)) if node.op == "call_module" else None

    def last_common_ancestor(self, a: fx.Node, b: fx.Node) -> fx.Node:
        """The last node that both depend on."""
        return max(self.ancestors[a] & self.ancestors[b], key=self.order.__getitem__)

    def between(self, ancestor: fx.Node, node: fx.Node) -> list[fx.Node]:
        """The nodes behind `ancestor` up to `node`, which is included, in order."""
        inside = self.ancestors[node] - self.ancestors[ancestor]
        return sorted(inside, key=self.order.__getitem__)

    def convolutions(self, nodes: list[fx.Node]) -> list[fx.Node]:
        """Those that call one."""
        return [node for node in nodes if isinstance(self.module(node), nn.Conv2d)]

    def only_user(self, node: fx.Node) -> fx.Node | None:
        """The node's user, if it has just one."""
        users = list(node.users)
        return users[0] if len(users) == 1 else None


def inner_position(flow: Dataflow, inside: list[fx.Node]) -> dict[str, Edge]:
    """`inner`: behind the first convolution larger than 1x1, its norm and its activation."""
    for node in flow.convolutions(inside):
        if flow.network.get_submodule(str(node.target)).kernel_size != (1, 1):
            end = node
            while (user := flow.only_user(end)) in inside and is_norm_or_activation(flow, user):
                end = user
            return {"inner": to_all_users(end)} if end is not inside[-1] else {}
    return {}


def is_norm_or_activation(flow: Dataflow, node: fx.Node | None) -> bool:
    """Whether the node is one, as a module or as a function."""
    if node is None:
        return False
    return isinstance(flow.module(node), NORMS_AND_ACTIVATIONS) or is_activation(node)


def is_activation(node: fx.Node) -> bool:
    """Whether the node calls an activation as a function."""
    name = getattr(node.target, "__name__", node.target)
    return node.op in ("call_function", "call_method") and name in ("relu", "relu_", "hardswish")


def after_activation(flow: Dataflow, node: fx.Node) -> fx.Node:
    """The activation, if it is the node's only user, or else the node."""
    user = flow.only_user(node)
    if user and (is_activation(user) or isinstance(flow.module(user), ACTIVATIONS)):
        return user
    return node


def to_all_users(node: fx.Node) -> Edge:
    """From the node to every node that uses it."""
    return Edge(node, tuple(node.users))


def module_path(node: fx.Node) -> str:
    """The path of the innermost module whose forward has this operation; "" is the network."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    inner_to_outer = reversed(paths)
    if node.op == "call_module":  # its own path is the last
        inner_to_outer = (path for path in reversed(paths) if path != node.target)
    return next(inner_to_outer, "")


def is_within(node: fx.Node, path: str) -> bool:
    """Whether the node belongs to the module at this path, or to one inside it."""
    stack = node.meta.get("nn_module_stack") or {}
    return any(inner == path or inner.startswith(f"{path}.") for inner, _ in stack.values())
