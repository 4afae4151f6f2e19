"""Weave attention slots into any convolutional network, at every position of every unit.

Weights keep their names, and outputs do not change: until it is filled, a slot is the identity.
"""

import re

from torch import fx, nn

from senet_train.backbones.slots import Backbone, Slots
from senet_train.errors import CannotExist, InputError
from senet_train.networks.graph.dataflow import Edge, Unit, to_all_users
from senet_train.networks.graph.own_attention import (
    refuse_remaining_attention,
    remove_own_attention,
)
from senet_train.networks.graph.trace import trace
from senet_train.networks.graph.units import find_units
from senet_train.networks.onednn import avoid_overruns

BEHIND = "behind_"  # begins the names of units that `placement.modules` asked for
ORDER = ("pre", "inner", "standard", "identity", "post")  # in which they follow each other


class UnitSlots(Slots):
    """The slots of one unit, and its stage's number."""

    def __init__(self, unit: Unit, stage: int) -> None:
        super().__init__({name: edge.channels for name, edge in unit.positions.items()})
        self.stage = stage


class WovenNetwork(fx.GraphModule, Backbone):
    """Any network with attention slots at its units, held by `units` under their modules' paths."""

    units: nn.ModuleDict

    def by_stage(self) -> dict[int, list[UnitSlots]]:
        """Every stage's units in order; a stage is what has maps of one size."""
        found: dict[int, list[UnitSlots]] = {}
        for key, unit in self.units.items():
            assert isinstance(unit, UnitSlots)
            if key.startswith(BEHIND):
                continue
            found.setdefault(unit.stage, []).append(unit)
        return found

    def units_at(self, pattern: str) -> dict[int, list[Slots]]:
        """A unit behind every module whose path matches, by stage; `standard` follows its map.

        Raises ValueError for no pattern, and for one that matches no module with maps.
        """
        try:
            wanted = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"placement.modules={pattern} is no pattern: {error}") from error
        nodes = [node for node in self.graph.nodes if makes_map(node)]
        matching = [node for node in nodes if wanted.fullmatch(str(node.target))]
        if not matching:
            some = [str(node.target) for node in nodes]
            raise ValueError(
                f"placement.modules={pattern} matches no module that makes maps: there are "
                f"{', '.join(some[:8])} and {max(len(some) - 8, 0)} more"
            )
        sizes = sorted({node.meta["shape"][2] for node in matching}, reverse=True)
        found: dict[int, list[Slots]] = {}
        for node in matching:
            stage = 1 + sizes.index(node.meta["shape"][2])
            found.setdefault(stage, []).append(self.slots_behind(node, stage))
        return found

    def slots_behind(self, node: fx.Node, stage: int) -> Slots:
        """The slots behind one module; made when they are first asked for."""
        unit = Unit(str(node.target), node.meta["shape"][2], {"standard": to_all_users(node)})
        key = f"{BEHIND}{key_of(unit)}"
        if key not in self.units:
            self.units[key] = UnitSlots(unit, stage)
            edge, target = unit.positions["standard"], f"units.{key}.attend.standard"
            route_through(self.graph, edge, target, {})
            self.recompile()
        slots = self.units[key]
        assert isinstance(slots, Slots)
        return slots


def makes_map(node: fx.Node) -> bool:
    """Whether the node calls a module of the network, no slot, whose output is a map."""
    inside = node.op == "call_module" and not str(node.target).startswith("units.")
    return inside and len(node.meta.get("shape", ())) == 4


def weave(network: nn.Module, *, keep_own: bool = False) -> WovenNetwork:
    """The network with attention slots; it takes over the modules of `network`.

    Attention of the network's own is taken out. With `keep_own` it stays, and no output changes.

    Raises InputError where it has no fixed graph or attention that cannot be taken out,
    CannotExist where no unit is found.
    """
    graph = trace(network)
    taken_out = [] if keep_own else remove_own_attention(network, graph)
    if not keep_own:
        refuse_remaining_attention(network, graph)
    units = find_units(network, graph, taken_out)
    if not units:
        raise CannotExist(
            f"{type(network).__name__} has no block, concatenation or convolution to put attention "
            "behind: choose another network"
        )
    sizes = sorted({unit.size for unit in units}, reverse=True)
    slots = nn.ModuleDict(
        {key_of(unit): UnitSlots(unit, 1 + sizes.index(unit.size)) for unit in units}
    )
    network.add_module("units", slots)
    latest: dict[tuple[fx.Node, fx.Node], fx.Node] = {}
    for unit in units:
        for position in ORDER:
            if position in unit.positions:
                target = f"units.{key_of(unit)}.attend.{position}"
                route_through(graph, unit.positions[position], target, latest)
    graph.lint()
    woven = WovenNetwork(network, graph, type(network).__name__)
    woven.taken_out = taken_out
    woven.units = slots  # of `units` it has taken over what the graph calls, and no more
    avoid_overruns(woven)
    return woven


def key_of(unit: Unit) -> str:
    """The unit's path without dots, which the name of a module must not have."""
    return unit.name.replace(".", "_")


def route_through(
    graph: fx.Graph, edge: Edge, target: str, latest: dict[tuple[fx.Node, fx.Node], fx.Node]
) -> None:
    """Route the edge's value through the module at `target`, behind those that were put there.

    `latest` has the node that a user of a node by now takes in its place.
    """
    before = {latest.get((edge.source, user), edge.source) for user in edge.users}
    if len(before) > 1:
        raise InputError(
            f"units of this network begin together at {edge.source} and one lies in the other: "
            "choose another network"
        )
    [source] = before
    with graph.inserting_after(source):
        node = graph.call_module(target, (source,))
    for user in edge.users:
        user.replace_input_with(source, node)
        latest[edge.source, user] = node
