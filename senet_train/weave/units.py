"""Where the units of a network begin and end: residual blocks, modules that concatenate, layers.

The rule, from the graph:

- Where two maps are added, the operand with more convolutions since they parted is the branch, the
  other the shortcut. That is a unit; `standard` is the end of its branch, before the addition and
  before what drops whole branches.
- Modules of the same class without an addition (the blocks of MobileNet that change size), or of
  one whose modules had attention of their own, are units whose branch is all of them.
- An addition in the branch of another of the same module (Res2Net), or one that is concatenated
  (NASNet's cells), is a part of that unit and none itself.
- Where maps are concatenated at a module's end (Inception, Fire, ShuffleNet), the module is the
  unit and `standard` follows the concatenation; where at its beginning (DenseNet), `standard` is
  its end.
- In a network with neither (VGG, AlexNet) each convolution is a unit, and `standard` follows its
  activation: Hu et al., section 3.3.

A stage is what has maps of one size.
"""

import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import fx, nn
from torchvision.ops import FrozenBatchNorm2d

ADDITIONS = (operator.add, operator.iadd, torch.add)
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


def find_units(network: nn.Module, graph: fx.Graph, taken_out: Sequence[str] = ()) -> list[Unit]:
    """Every unit in the order of the graph, by the rule above; none where nothing matches.

    `taken_out` are the paths of attention that was in the network.
    """
    walk = Walk(network, graph)
    sums = dict(residual_units(walk))
    added = own_names(whole_blocks(walk, sums))
    held = (network.get_submodule(path.rpartition(".")[0]) for path in taken_out)
    classes = {type(module) for module in held if not isinstance(module, nn.Sequential)}
    ends = {node for node in sums if node in added or is_partial(walk, node)}
    classes |= {type(network.get_submodule(home(walk, node))) for node in ends}
    plain = dict(module_units(walk, classes, added))
    joined = {} if added or plain else dict(joined_units(walk))
    found = {**added, **plain, **joined} or dict(layer_units(walk))
    return [found[node] for node in sorted(found, key=walk.order.__getitem__)]


def residual_units(walk: Walk) -> Iterator[tuple[fx.Node, Unit]]:
    """The units that end in an addition of two maps."""
    for node in walk.graph.nodes:
        if node.target not in ADDITIONS or len(node.all_input_nodes) != 2:
            continue
        a, b = node.all_input_nodes
        if len(node.meta["shape"]) != 4 or a.meta["shape"] != b.meta["shape"]:
            continue
        fork = walk.fork(a, b)
        sides = [(len(walk.convolutions(walk.since(side, fork))), side) for side in (a, b)]
        (fewer, shortcut), (more, branch) = sorted(sides, key=lambda side: side[0])
        # A shortcut that adds is none: maps of other branches meet there (HRNet).
        if fewer < more and not any(n.target in ADDITIONS for n in walk.since(shortcut, fork)):
            yield node, residual_unit(walk, node, fork, branch, shortcut)


def whole_blocks(walk: Walk, added: dict[fx.Node, Unit]) -> dict[fx.Node, Unit]:
    """Without additions that are a part of a larger unit of the same module.

    Those in the branch of another (Res2Net), those that are concatenated (NASNet's cells), and
    those to which another branch is added (MobileOne).
    """
    joins = [(home(walk, node), node) for node in walk.graph.nodes if node.target is torch.cat]
    inside = {
        node
        for node, unit in added.items()
        if is_partial(walk, node)
        or any(name == unit.name and node in walk.before[join] for name, join in joins)
        or any(in_branch(walk, node, other) for other in added.values() if other.name == unit.name)
    }
    return {node: unit for node, unit in added.items() if node not in inside}


def in_branch(walk: Walk, node: fx.Node, unit: Unit) -> bool:
    """Whether the node lies in the branch of the unit."""
    begin, end = unit.positions["pre"].source, unit.positions["standard"].source
    return node in walk.before[end] - walk.before[begin]


def is_partial(walk: Walk, node: fx.Node) -> bool:
    """Whether the node is a sum to which something is added that does not hang on it."""
    user = walk.only_user(node)
    if user is None or user.target not in ADDITIONS or home(walk, user) != home(walk, node):
        return False
    return all(node not in walk.before[other] for other in user.all_input_nodes if other != node)


def own_names(added: dict[fx.Node, Unit]) -> dict[fx.Node, Unit]:
    """A module with two residual units in a row: the second is called after its place in it."""
    times: Counter[str] = Counter()
    found = {}
    for node, unit in added.items():
        times[unit.name] += 1
        number = times[unit.name]
        found[node] = unit if number == 1 else replace(unit, name=f"{unit.name}.unit{number}")
    return found


def residual_unit(
    walk: Walk, node: fx.Node, fork: fx.Node, branch: fx.Node, shortcut: fx.Node
) -> Unit:
    """The positions round one addition."""
    inside = walk.since(branch, fork)
    end = branch
    while drops_branches(walk, end):
        end = end.all_input_nodes[0]
    positions = {
        "standard": Edge(end, tuple(user for user in end.users if user in {*inside, node})),
        "identity": Edge(shortcut, (node,)),
        "pre": Edge(fork, tuple(user for user in fork.users if user in inside)),
        "post": everywhere(after_activation(walk, node)),
        **inner(walk, inside),
    }
    return Unit(home(walk, node) or node.name, node.meta["shape"][2], positions)


def drops_branches(walk: Walk, node: fx.Node) -> bool:
    """Whether the node calls StochasticDepth, which scales a whole branch or drops it."""
    return type(walk.module(node)).__name__ in ("StochasticDepth", "DropPath")


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


def module_units(
    walk: Walk, classes: set[type[nn.Module]], added: dict[fx.Node, Unit]
) -> Iterator[tuple[fx.Node, Unit]]:
    """Modules of those classes that have no addition: all of them is branch."""
    taken = [f"{unit.name}." for unit in added.values()]
    for name, module in walk.network.named_modules():
        inside = f"{name}."
        if type(module) in classes and name and not any(t.startswith(inside) for t in taken):
            yield from whole_module(walk, name)


def whole_module(walk: Walk, name: str) -> Iterator[tuple[fx.Node, Unit]]:
    """A unit that is a module: from its first node to its last."""
    inside = [node for node in walk.graph.nodes if is_inside(node, name)]
    if not inside or len(inside[-1].meta["shape"]) != 4:
        return
    first, last = inside[0], inside[-1]
    source = first.all_input_nodes[-1]
    positions = {
        "standard": everywhere(last),
        "pre": Edge(source, tuple(user for user in source.users if user in inside)),
        "post": everywhere(last),
        **inner(walk, inside),
    }
    yield last, Unit(name, last.meta["shape"][2], positions)


def is_inside(node: fx.Node, name: str) -> bool:
    """Whether the node is of the module with that path, or of one in it."""
    stack = node.meta.get("nn_module_stack") or {}
    return any(path == name or path.startswith(f"{name}.") for path, _ in stack.values())


def joined_units(walk: Walk) -> Iterator[tuple[fx.Node, Unit]]:
    """The modules in whose code maps are concatenated, but for those that hold such modules."""
    joins = {home(walk, node): node for node in walk.graph.nodes if node.target is torch.cat}
    for name, node in joins.items():
        within = f"{name}." if name else ""  # "" is the network, which joins colours in some
        if any(other != name and other.startswith(within) for other in joins):
            continue
        inside = [other for other in walk.graph.nodes if is_inside(other, name)]
        if walk.convolutions(inside[inside.index(node) :]):
            yield from whole_module(walk, name)
        else:
            yield node, joined_unit(walk, name, node, inside)


def joined_unit(walk: Walk, name: str, node: fx.Node, inside: list[fx.Node]) -> Unit:
    """A module that ends in a concatenation."""
    source = inside[0].all_input_nodes[-1]
    positions = {
        "standard": everywhere(node),
        "pre": Edge(source, tuple(user for user in source.users if user in inside)),
        "post": everywhere(node),
    }
    return Unit(name, node.meta["shape"][2], positions)


def layer_units(walk: Walk) -> Iterator[tuple[fx.Node, Unit]]:
    """Each convolution with its norm and activation, in a network that is a plain stack of them."""
    for node in walk.convolutions(list(walk.graph.nodes)):
        end = node
        while follows(walk, walk.only_user(end)):
            end = next(iter(end.users))
        source = node.all_input_nodes[0]
        positions = {
            "standard": everywhere(end),
            "pre": Edge(source, (node,)),
            "post": everywhere(end),
        }
        yield end, Unit(str(node.target), end.meta["shape"][2], positions)
