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

from senet_train.networks.graph.dataflow import (
    Dataflow,
    Edge,
    Unit,
    inner_position,
    is_norm_or_activation,
    is_within,
    module_path,
    to_all_users,
)
from senet_train.networks.graph.residual import (
    is_partial_sum,
    outermost_units,
    residual_units,
    unique_names,
)


def find_units(network: nn.Module, graph: fx.Graph, taken_out: Sequence[str] = ()) -> list[Unit]:
    """Every unit in the order of the graph, by the rule above; none where nothing matches.

    `taken_out` are the paths of attention that was in the network.
    """
    flow = Dataflow(network, graph)
    sums = dict(residual_units(flow))
    added = unique_names(outermost_units(flow, sums))
    held = (network.get_submodule(path.rpartition(".")[0]) for path in taken_out)
    classes = {type(module) for module in held if not isinstance(module, nn.Sequential)}
    ends = {node for node in sums if node in added or is_partial_sum(flow, node)}
    classes |= {type(network.get_submodule(module_path(node))) for node in ends}
    plain = dict(module_units(flow, classes, added))
    concatenated = {} if added or plain else dict(concatenation_units(flow))
    found = {**added, **plain, **concatenated} or dict(layer_units(flow))
    return [found[node] for node in sorted(found, key=flow.order.__getitem__)]


def module_units(
    flow: Dataflow, classes: set[type[nn.Module]], added: dict[fx.Node, Unit]
) -> Iterator[tuple[fx.Node, Unit]]:
    """Modules of those classes without an addition: the whole module is the branch."""
    covered = [f"{unit.name}." for unit in added.values()]
    for name, module in flow.network.named_modules():
        inside = f"{name}."
        if type(module) in classes and name and not any(t.startswith(inside) for t in covered):
            yield from module_unit(flow, name)


def module_unit(flow: Dataflow, name: str) -> Iterator[tuple[fx.Node, Unit]]:
    """A unit that is a module: from its first node to its last."""
    inside = [node for node in flow.graph.nodes if is_within(node, name)]
    if not inside or len(inside[-1].meta["shape"]) != 4:
        return
    first, last = inside[0], inside[-1]
    source = first.all_input_nodes[-1]
    positions = {
        "standard": to_all_users(last),
        "pre": Edge(source, tuple(user for user in source.users if user in inside)),
        "post": to_all_users(last),
        **inner_position(flow, inside),
    }
    yield last, Unit(name, last.meta["shape"][2], positions)


def concatenation_units(flow: Dataflow) -> Iterator[tuple[fx.Node, Unit]]:
    """The modules in whose code maps are concatenated, but for those that hold such modules."""
    joins = {module_path(node): node for node in flow.graph.nodes if node.target is torch.cat}
    for name, node in joins.items():
        within = f"{name}." if name else ""  # "" is the network, which concatenates colours in some
        if any(other != name and other.startswith(within) for other in joins):
            continue
        inside = [other for other in flow.graph.nodes if is_within(other, name)]
        if flow.convolutions(inside[inside.index(node) :]):
            yield from module_unit(flow, name)
        else:
            yield node, concatenation_unit(flow, name, node, inside)


def concatenation_unit(flow: Dataflow, name: str, node: fx.Node, inside: list[fx.Node]) -> Unit:
    """A module that ends in a concatenation."""
    source = inside[0].all_input_nodes[-1]
    positions = {
        "standard": to_all_users(node),
        "pre": Edge(source, tuple(user for user in source.users if user in inside)),
        "post": to_all_users(node),
    }
    return Unit(name, node.meta["shape"][2], positions)


def layer_units(flow: Dataflow) -> Iterator[tuple[fx.Node, Unit]]:
    """Each convolution with its norm and activation, in a network that is a plain stack of them."""
    for node in flow.convolutions(list(flow.graph.nodes)):
        end = node
        while is_norm_or_activation(flow, flow.only_user(end)):
            end = next(iter(end.users))
        source = node.all_input_nodes[0]
        positions = {
            "standard": to_all_users(end),
            "pre": Edge(source, (node,)),
            "post": to_all_users(end),
        }
        yield end, Unit(str(node.target), end.meta["shape"][2], positions)
