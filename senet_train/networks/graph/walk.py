"""A traced network and what is asked of its graph: what lies between, what follows, whose it is."""

from dataclasses import dataclass, field

from torch import fx, nn
from torchvision.ops import FrozenBatchNorm2d

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU, nn.Identity)
FOLLOWERS = (*ACTIVATIONS, nn.BatchNorm2d, FrozenBatchNorm2d)


@dataclass(frozen=True)
class Edge:
    """A value on its way: from the node that makes it to some of those that take it."""

    source: fx.Node
    users: tuple[fx.Node, ...]

    @property
    def channels(self) -> int:
        """Of the map."""
        return int(self.source.meta["shape"][1])


@dataclass(frozen=True)
class Unit:
    """One unit: its module's path, its maps' side at the probe's size, and its positions."""

    name: str
    size: int
    positions: dict[str, Edge] = field(default_factory=dict)


@dataclass
class Walk:
    """A graph, and what is asked of it again and again."""

    network: nn.Module
    graph: fx.Graph

    def __post_init__(self) -> None:
        self.order = {node: number for number, node in enumerate(self.graph.nodes)}
        self.before: dict[fx.Node, set[fx.Node]] = {}
        for node in self.graph.nodes:
            known = {node}
            for argument in node.all_input_nodes:
                known |= self.before[argument]
            self.before[node] = known

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that the node calls, if it calls one."""
        return self.network.get_submodule(str(node.target)) if node.op == "call_module" else None

    def fork(self, a: fx.Node, b: fx.Node) -> fx.Node:
        """The last node that both hang on."""
        return max(self.before[a] & self.before[b], key=self.order.__getitem__)

    def since(self, node: fx.Node, fork: fx.Node) -> list[fx.Node]:
        """What lies between, the node included, in order."""
        return sorted(self.before[node] - self.before[fork], key=self.order.__getitem__)

    def convolutions(self, nodes: list[fx.Node]) -> list[fx.Node]:
        """Those that call one."""
        return [node for node in nodes if isinstance(self.module(node), nn.Conv2d)]

    def only_user(self, node: fx.Node) -> fx.Node | None:
        """The node's user, if it has just one."""
        users = list(node.users)
        return users[0] if len(users) == 1 else None


def inner(walk: Walk, inside: list[fx.Node]) -> dict[str, Edge]:
    """Behind the first convolution that sees a neighbourhood, its norm and its activation."""
    for node in walk.convolutions(inside):
        if walk.network.get_submodule(str(node.target)).kernel_size != (1, 1):
            end = node
            while (user := walk.only_user(end)) in inside and follows(walk, user):
                end = user
            return {"inner": everywhere(end)} if end is not inside[-1] else {}
    return {}


def follows(walk: Walk, node: fx.Node | None) -> bool:
    """Whether the node is a norm or an activation, as a module or a function."""
    if node is None:
        return False
    return isinstance(walk.module(node), FOLLOWERS) or is_activation(node)


def is_activation(node: fx.Node) -> bool:
    """Whether the node calls an activation as a function."""
    name = getattr(node.target, "__name__", node.target)
    return node.op in ("call_function", "call_method") and name in ("relu", "relu_", "hardswish")


def after_activation(walk: Walk, node: fx.Node) -> fx.Node:
    """The activation that alone follows the node, or the node."""
    user = walk.only_user(node)
    if user and (is_activation(user) or isinstance(walk.module(user), ACTIVATIONS)):
        return user
    return node


def everywhere(node: fx.Node) -> Edge:
    """The node's value for all that take it."""
    return Edge(node, tuple(node.users))


def home(walk: Walk, node: fx.Node) -> str:
    """The path of the innermost module whose code the node is."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    inner_to_outer = reversed(paths)
    if node.op == "call_module":  # its own path is the last
        inner_to_outer = (path for path in reversed(paths) if path != node.target)
    return next(inner_to_outer, "")


def is_inside(node: fx.Node, name: str) -> bool:
    """Whether the node is of the module with that path, or of one in it."""
    stack = node.meta.get("nn_module_stack") or {}
    return any(path == name or path.startswith(f"{name}.") for path, _ in stack.values())
