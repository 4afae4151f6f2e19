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

from collections.abc import Iterator, Sequence

import torch
from torch import fx, nn

from senet_train.networks.graph.residual import is_partial, own_names, residual_units, whole_blocks
from senet_train.networks.graph.walk import (
    Edge,
    Unit,
    Walk,
    everywhere,
    follows,
    home,
    inner,
    is_inside,
)


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
