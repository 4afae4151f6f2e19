"""A network that computes by its graph: the layers and names of a user's network, and slots.

Layers are found by their paths in `_modules`, never as attributes: whatever a child is called
(`graph`, `maps`, `units`, `class`), it is no method of ours and no word of Python.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, fx, nn

from senet_train.backbones.slots import Backbone, Slots
from senet_train.errors import InputError

PLACE = "#"  # begins the names under which the graph's forward finds layers and tensors
NESTED_NAMES = 4  # the pickle protocol from which it can name torch's own functions


class UnitSlots(Slots):
    """The slots of one unit, its stage, and the path of the module that it is in the network.

    `behind` is the node that `placement.modules` put it behind, "" for a unit of the network.
    """

    def __init__(
        self, slot_channels: dict[str, int], stage: int, path: str, *, behind: str = ""
    ) -> None:
        super().__init__(slot_channels)
        self.stage, self.path, self.behind = stage, path, behind


class SlottedNetwork(Backbone):
    """A network with its graph in place of its forward; slots lie in the child `units_name`.

    It shares the layers of `network` and all other modules that the graph does not open; what
    holds layers becomes a plain module. Modules at the paths `taken_out` are left behind.
    """

    graph: fx.Graph
    units_name: str
    class_name: str

    def __init__(
        self,
        network: nn.Module,
        graph: fx.Graph,
        units_name: str = "",
        taken_out: Sequence[str] = (),
    ) -> None:
        super().__init__()
        state = self.__dict__  # an assignment would refuse what is called like a child
        state["graph"], state["units_name"] = graph, units_name
        state["taken_out"], state["class_name"] = taken_out, type(network).__name__
        take_contents(self, open_containers(network, graph, units_name, taken_out))
        for name, hooks in vars(network).items():
            if name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                state[name] = hooks
        self.recompile()

    @property
    def units(self) -> nn.ModuleDict:
        """Every unit's slots under its key."""
        found = self._modules[self.units_name]
        assert isinstance(found, nn.ModuleDict)
        return found

    def recompile(self) -> None:
        """Make the forward pass anew from the graph."""
        self.__dict__["_run"], self.__dict__["_places"] = compiled(self.graph)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The network's own forward, through the slots."""
        return self.__dict__["_run"](self, *inputs, **named)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(PLACE):
            return super().__getattr__(name)
        parent, last = self.__dict__["_places"][name]
        held = module_at(self, parent)
        return held._modules[last] if last in held._modules else tensor_at(held, last)

    def get_submodule(self, target: str) -> nn.Module:
        """The module at a path; a child, where one is called like a method of ours."""
        first, _, rest = target.partition(".")
        child = self._modules.get(first)
        return super().get_submodule(target) if child is None else child.get_submodule(rest)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor | nn.Module) or not hasattr(type(self), name):
            super().__setattr__(name, value)
        else:  # ours, such as `tail`, even where a child is called so
            self.__dict__[name] = value

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in vars(self).items() if name not in ("_run", "_places")
        }

    def __reduce_ex__(self, protocol: Any) -> Any:
        if protocol < NESTED_NAMES:  # torch.save's own choice
            raise InputError(
                "a woven network is saved whole by torch.save(network, FILE, pickle_protocol=4); "
                "better save network.state_dict(), which can be read without running code"
            )
        return super().__reduce_ex__(protocol)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.recompile()

    def _get_name(self) -> str:
        return self.class_name


def compiled(graph: fx.Graph) -> tuple[Callable[..., Any], dict[str, tuple[str, str]]]:
    """The graph as a function of a network and its inputs, and what stands at each place.

    Places are named by numbers, which no child can be called like; torch makes the function.
    """
    nodes = [node for node in graph.nodes if node.op in ("call_module", "get_attr")]
    targets = [str(node.target) for node in nodes]
    named = {f"{PLACE}{number}": target for number, target in enumerate(targets)}
    try:
        for node, place in zip(nodes, named, strict=True):
            node.target = place
        made = fx.GraphModule({place: nn.Identity() for place in named}, graph)
    finally:
        for node, target in zip(nodes, targets, strict=True):
            node.target = target
        graph.owning_module = None
    parents = {place: target.rpartition(".") for place, target in named.items()}
    return type(made).forward, {
        place: (parent, last) for place, (parent, _, last) in parents.items()
    }


def tensor_at(module: nn.Module, name: str) -> Tensor:
    """A module's parameter or buffer; DataParallel's replicas have them as plain attributes."""
    for held in (module._parameters, module._buffers):
        if (found := held.get(name)) is not None:
            return found
    tensor: Tensor = getattr(module, name)
    return tensor


def open_containers(
    network: nn.Module, graph: fx.Graph, units_name: str, taken_out: Sequence[str]
) -> nn.Module:
    """A plain module with the contents of `network`, and such ones for what the graph opens.

    Contents follow each other as the graph uses them; what it does not use comes last.
    """
    nodes = [node for node in graph.nodes if node.op in ("call_module", "get_attr")]
    used: dict[str, int] = {}
    for node in nodes:
        for path in (*parents_of(str(node.target)), str(node.target)):
            used.setdefault(path, len(used))
    called = {str(node.target) for node in nodes if node.op == "call_module"}
    inside = {path for target in (*called, *taken_out) for path in parents_of(target)}
    inside -= {*called, units_name}
    left = {id(network.get_submodule(path)) for path in taken_out}
    made: dict[int, nn.Module] = {}

    def open_module(module: nn.Module, path: str) -> nn.Module:
        if path and path not in inside:
            return made.setdefault(id(module), module)
        if id(module) not in made:
            made[id(module)] = opened = nn.Module()
            dot = f"{path}." if path else ""
            take_contents(opened, module)
            opened._modules = {
                name: child and open_module(child, f"{dot}{name}")
                for name, child in module._modules.items()
                if id(child) not in left
            }
            for held in (opened._parameters, opened._buffers, opened._modules):
                sort_by_use(held, dot, used)
        return made[id(module)]

    opened = open_module(network, "")
    for path in used:  # tensors that are neither parameters nor buffers: constants of the graph
        keep_constant(network, opened, path)
    return opened


def parents_of(path: str) -> Iterator[str]:
    """The paths of the modules that hold it, the outermost first."""
    names = path.split(".")
    return (".".join(names[:end]) for end in range(1, len(names)))


def take_contents(module: nn.Module, other: nn.Module) -> None:
    """Give the module what the other holds, and its mode."""
    module.__dict__["training"] = vars(other).get("training", True)
    for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
        module.__dict__[name] = vars(other)[name].copy()


def sort_by_use(held: dict[str, Any], dot: str, used: dict[str, int]) -> None:
    """Put the contents of a module in the order of their first use, in place."""
    ordered = sorted(held.items(), key=lambda item: used.get(f"{dot}{item[0]}", len(used)))
    held.clear()
    held.update(ordered)


def keep_constant(network: nn.Module, opened: nn.Module, path: str) -> None:
    """Keep a tensor that is a plain attribute in the network as a buffer in the opened one.

    It moves with the device and is in no state dict, which has the network's names alone.
    """
    parent, _, name = path.rpartition(".")
    tensor = vars(module_at(network, parent)).get(name)
    if isinstance(tensor, Tensor):
        module_at(opened, parent).register_buffer(name, tensor, persistent=False)


def module_at(network: nn.Module, path: str) -> nn.Module:
    """The module at a path, by the names of children alone. Raises KeyError."""
    module: nn.Module | None = network
    for name in path.split(".") if path else ():
        module = module and module._modules[name]
    if module is None:
        raise KeyError(path)
    return module
