"""How deep in its network each parameter lies, counted in units.

A unit is what attention goes into: a block of our networks and of a library's, a convolution of a
plain stack such as VGG. What comes before the first unit (the stem) has the depth 0, the k-th unit
k, and what lies between two units that of the unit before it. Parameters follow each other as the
network uses them: ours are made in that order, and weaving puts others into it.
"""

from collections.abc import Iterator

from torch import nn

from senet_train.backbones.slots import Backbone
from senet_train.errors import InputError
from senet_train.networks.graph.woven import UnitSlots


def depths_of(network: Backbone) -> dict[str, int]:
    """Name of each parameter -> its depth. Raises InputError for a network without such units."""
    prefixes = set(unit_prefixes(network))
    begun: dict[str, int] = {}  # prefix of a unit -> its number, from 1
    depths = {}
    for name, _ in network.named_parameters():
        around = [prefix for prefix in prefixes if name.startswith(prefix)]
        unit = max(around, key=len, default="")
        depths[name] = begun.setdefault(unit, len(begun) + 1) if unit else len(begun)
    if not begun:
        raise InputError(
            "optim.layer_decay needs blocks that hold layers, and this network has none: "
            "choose optim.layer_decay=1.0"
        )
    return depths


def unit_prefixes(network: Backbone) -> Iterator[str]:
    """What the names of the parameters of each unit begin with, `layer1.0.`."""
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    for units in network.by_stage().values():
        for unit in units:
            path = names[unit]
            if isinstance(unit, UnitSlots):  # they lie in a child beside the layers
                parent = ".".join(path.split(".")[:-2])
                path = f"{parent}.{unit.path}" if parent else unit.path
            yield f"{path}."
