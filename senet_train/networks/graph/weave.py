"""Weave attention slots into any convolutional network, at every position of every unit.

Weights keep their names, and outputs do not change: until it is filled, a slot is the identity.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import fx, nn

from senet_train.backbones.slots import Slots
from senet_train.config.image_size import ImageSize
from senet_train.errors import CannotExist, InputError
from senet_train.networks.graph.dataflow import Edge, Unit, to_all_users
from senet_train.networks.graph.own_attention import (
    refuse_remaining_attention,
    remove_own_attention,
)
from senet_train.networks.graph.trace import PROBE_SIZES, free_name, trace
from senet_train.networks.graph.units import find_units
from senet_train.networks.graph.woven import SlottedNetwork, UnitSlots
from senet_train.networks.graph.wrappers import refuse_wrapper
from senet_train.networks.onednn import avoid_overruns

log = logging.getLogger("senet_train")

UNITS = "units"  # the child that holds the slots; another name where the network has one like it
ORDER = ("pre", "inner", "standard", "identity", "post")  # in which they follow each other


class WovenNetwork(SlottedNetwork):
    """Any network with attention slots at its units, held by `units` under their modules' paths."""

    def by_stage(self) -> dict[int, list[UnitSlots]]:
        """Every stage's units in order; a stage is what has maps of one size."""
        found: dict[int, list[UnitSlots]] = {}
        for unit in self.units.values():
            assert isinstance(unit, UnitSlots)
            if not unit.behind:
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
        nodes = [node for node in self.graph.nodes if self.makes_map(node)]
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

    def makes_map(self, node: fx.Node) -> bool:
        """Whether the node calls a module of the network, no slot, whose output is a map."""
        slot = f"{self.units_name}."
        inside = node.op == "call_module" and not str(node.target).startswith(slot)
        return inside and len(node.meta.get("shape", ())) == 4

    def slots_behind(self, node: fx.Node, stage: int) -> Slots:
        """The slots behind one module; made when they are first asked for."""
        for unit in self.units.values():
            if isinstance(unit, UnitSlots) and unit.behind == node.name:
                return unit
        edge = to_all_users(node)
        made = UnitSlots({"standard": edge.channels}, stage, str(node.target), behind=node.name)
        key = free_key(self.units, f"behind_{node.target}")
        self.units[key] = made
        route_through(self.graph, edge, f"{self.units_name}.{key}.attend.standard", {})
        self.recompile()
        return made


def weave(
    network: nn.Module, *, keep_own: bool = False, image_size: ImageSize = PROBE_SIZES[0]
) -> WovenNetwork:
    """The network with attention slots; it shares the layers of `network`, which stays as it was.

    Attention of the network's own is taken out. With `keep_own` it stays, and no output changes.
    `image_size` in pixels, a side or (height, width), matters where the network takes images of
    one size alone.

    Raises InputError where it has no fixed graph or attention that cannot be taken out,
    CannotExist where no unit is found.
    """
    refuse_wrapper(network)
    if isinstance(network, SlottedNetwork):
        raise InputError(f"this {network.class_name} is woven already: insert into it as it is")
    with left_as_it_was(network):
        graph = trace(network, image_size)
        taken_out = [] if keep_own else remove_own_attention(network, graph)
        if not keep_own:
            refuse_remaining_attention(network, graph)
        units = find_units(network, graph, taken_out)
        if not units:
            raise CannotExist(
                f"{type(network).__name__} has no block, concatenation or convolution to put "
                "attention behind: choose another network"
            )
        name = free_name(network, UNITS)
        network.add_module(name, open_units(graph, units, name))
        graph.lint()
        woven = WovenNetwork(network, graph, name, taken_out)
    check_parameters(network, woven)
    warn_of_lost_hooks(network, woven)
    avoid_overruns(woven)
    return woven


@contextmanager
def left_as_it_was(network: nn.Module) -> Iterator[None]:
    """Take back what is added to the network: tracing and weaving put modules and tensors there."""
    children, attributes = dict(network._modules), set(vars(network))
    try:
        yield
    finally:
        network._modules.clear()
        network._modules.update(children)
        for name in set(vars(network)) - attributes:
            delattr(network, name)


def warn_of_lost_hooks(network: nn.Module, woven: WovenNetwork) -> None:
    """Log the hooks of modules that the graph has opened: their layers are called, and not they."""
    for path, module in network.named_modules():
        gone = path.startswith(tuple(woven.taken_out))
        if path and not gone and woven.get_submodule(path) is not module and has_hooks(module):
            log.warning(
                "warning: %s has hooks, which the woven network does not call: hook a layer in it "
                "(what they changed in its output stays)",
                path,
            )


def has_hooks(module: nn.Module) -> bool:
    """Whether something is to be called when the module is."""
    hooks = (module._forward_pre_hooks, module._forward_hooks)
    return any((*hooks, module._backward_pre_hooks, module._backward_hooks))


def check_parameters(network: nn.Module, woven: WovenNetwork) -> None:
    """Every parameter is in the woven network under its name, but for attention taken out."""
    gone = tuple(f"{path}." for path in woven.taken_out)
    before = {
        name: parameter
        for name, parameter in network.named_parameters(remove_duplicate=False)
        if not name.startswith(gone)
    }
    after = dict(woven.named_parameters(remove_duplicate=False))
    assert before.keys() <= after.keys(), "weaving has lost parameters"
    assert all(after[name] is before[name] for name in before), "weaving has changed parameters"
    assert {*map(id, after.values())} <= {*map(id, before.values())}, "weaving has added parameters"


def open_units(graph: fx.Graph, units: list[Unit], name: str) -> nn.ModuleDict:
    """The units' slots, put into the graph as the modules of a child called `name`."""
    sizes = sorted({unit.size for unit in units}, reverse=True)
    slots = nn.ModuleDict()
    latest: dict[tuple[fx.Node, fx.Node], fx.Node] = {}
    for unit in units:
        key = free_key(slots, unit.name)
        channels = {position: edge.channels for position, edge in unit.positions.items()}
        slots[key] = UnitSlots(channels, 1 + sizes.index(unit.size), unit.name)
        for position in ORDER:
            if position in unit.positions:
                target = f"{name}.{key}.attend.{position}"
                route_through(graph, unit.positions[position], target, latest)
    return slots


def free_key(slots: nn.ModuleDict, path: str) -> str:
    """A path without dots, which the name of a module must not have; `a.b` and `a_b` stay two."""
    return free_name(slots, path.replace(".", "_"))


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
