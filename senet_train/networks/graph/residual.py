"""Units that end where two maps are added: the branch is the operand with more convolutions."""

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import fx

from senet_train.networks.graph.dataflow import (
    Dataflow,
    Edge,
    Unit,
    after_activation,
    inner_position,
    module_path,
    to_all_users,
)

ADDITIONS = (operator.add, operator.iadd, torch.add)


def residual_units(flow: Dataflow) -> Iterator[tuple[fx.Node, Unit]]:
    """The units that end in an addition of two maps."""
    for node in flow.graph.nodes:
        if node.target not in ADDITIONS or len(node.all_input_nodes) != 2:
            continue
        a, b = node.all_input_nodes
        if len(node.meta["shape"]) != 4 or a.meta["shape"] != b.meta["shape"]:
            continue
        fork = flow.last_common_ancestor(a, b)
        sides = [(len(flow.convolutions(flow.between(fork, side))), side) for side in (a, b)]
        (fewer, shortcut), (more, branch) = sorted(sides, key=lambda side: side[0])
        # A shortcut that adds is none: maps of other branches meet there (HRNet).
        if fewer < more and not any(n.target in ADDITIONS for n in flow.between(fork, shortcut)):
            yield node, residual_unit(flow, node, fork, branch, shortcut)


def outermost_units(flow: Dataflow, added: dict[fx.Node, Unit]) -> dict[fx.Node, Unit]:
    """Without additions that are a part of a larger unit of the same module.

    Those in the branch of another (Res2Net), those that are concatenated (NASNet's cells), and
    those to which another branch is added (MobileOne).
    """
    joins = [(module_path(node), node) for node in flow.graph.nodes if node.target is torch.cat]
    inside = {
        node
        for node, unit in added.items()
        if is_partial_sum(flow, node)
        or any(path == unit.name and node in flow.ancestors[join] for path, join in joins)
        or any(in_branch(flow, node, other) for other in added.values() if other.name == unit.name)
    }
    return {node: unit for node, unit in added.items() if node not in inside}


def in_branch(flow: Dataflow, node: fx.Node, unit: Unit) -> bool:
    """Whether the node lies in the branch of the unit."""
    begin, end = unit.positions["pre"].source, unit.positions["standard"].source
    return node in flow.ancestors[end] - flow.ancestors[begin]


def is_partial_sum(flow: Dataflow, node: fx.Node) -> bool:
    """Whether the node is a sum to which something is added that does not depend on it."""
    user = flow.only_user(node)
    if user is None or user.target not in ADDITIONS or module_path(user) != module_path(node):
        return False
    return all(node not in flow.ancestors[other] for other in user.all_input_nodes if other != node)


def unique_names(added: dict[fx.Node, Unit]) -> dict[fx.Node, Unit]:
    """A module with two residual units in a row: the second is called after its place in it."""
    times: Counter[str] = Counter()
    found = {}
    for node, unit in added.items():
        times[unit.name] += 1
        number = times[unit.name]
        found[node] = unit if number == 1 else replace(unit, name=f"{unit.name}.unit{number}")
    return found


def residual_unit(
    flow: Dataflow, node: fx.Node, fork: fx.Node, branch: fx.Node, shortcut: fx.Node
) -> Unit:
    """The positions around one addition."""
    inside = flow.between(fork, branch)
    end = branch
    while drops_branches(flow, end):
        end = end.all_input_nodes[0]
    positions = {
        "standard": Edge(end, tuple(user for user in end.users if user in {*inside, node})),
        "identity": Edge(shortcut, (node,)),
        "pre": Edge(fork, tuple(user for user in fork.users if user in inside)),
        "post": to_all_users(after_activation(flow, node)),
        **inner_position(flow, inside),
    }
    return Unit(module_path(node) or node.name, node.meta["shape"][2], positions)


def drops_branches(flow: Dataflow, node: fx.Node) -> bool:
    """Whether the node calls StochasticDepth, which scales a whole branch or drops it."""
    return type(flow.module(node)).__name__ in ("StochasticDepth", "DropPath")
