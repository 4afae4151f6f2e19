"""Tensors of SE that torchvision's networks bring along, as those of the woven network, and back.

MobileNetV3 and RegNetY have it behind the depthwise or grouped convolution's activation, where the
woven network has the slot `inner`:

    theirs         features.4.block.2.fc1.weight                  (R, C, 1, 1)
    ours, woven    units.features_4.attend.inner.reduce.weight    (R, C)

C channels, R hidden channels. State dicts in, state dicts out, nothing copied.
"""

import re
from collections.abc import Iterable

from torch import Tensor

from senet_train.networks.weights.timm_names import LAYERS, State, as_convolution, as_linear


def from_torchvision(theirs: State, units: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of torchvision's network as those of the woven one, whose `units` are named.

    SE goes to the slot `inner`: behind the depthwise or grouped convolution's activation.
    Raises ValueError for SE outside of any unit.
    """
    keys = sorted(units, key=len, reverse=True)
    return {
        own_slot(path, keys, layer, kind) if path else name: as_linear(tensor) if path else tensor
        for name, tensor in theirs.items()
        for path, layer, kind in [own_parts(name)]
    }


def to_torchvision(ours: State, names: Iterable[str], units: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of the woven network as torchvision's; `names` are those of its state dict.

    Raises ValueError for a tensor that is missing, and for one left over.
    """
    keys = sorted(units, key=len, reverse=True)
    found, left = {}, dict(ours)
    for name in names:
        path, layer, kind = own_parts(name)
        key = own_slot(path, keys, layer, kind) if path else name
        if key not in left:
            raise ValueError(f"{key} is missing: torchvision's network has {name}")
        tensor = left.pop(key)
        found[name] = as_convolution(tensor) if path else tensor
    if left:
        raise ValueError(f"{next(iter(left))} is no tensor of torchvision's network")
    return found


def own_parts(name: str) -> tuple[str, str, str]:
    """`features.1.block.1.fc1.weight` -> its path, `fc1`, `weight`; nothing, thrice, for others."""
    match = re.fullmatch(r"(.+)\.(fc[12])\.(weight|bias)", name)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def own_slot(path: str, keys: list[str], layer: str, kind: str) -> str:
    """The tensor's name in the slot of the unit that holds the path; `keys` from the longest."""
    flat = path.replace(".", "_")
    for key in keys:
        if flat.startswith(f"{key}_"):
            return f"units.{key}.attend.inner.{LAYERS[layer]}.{kind}"
    raise ValueError(f"{path} is in no unit of the network: weave the network that it belongs to")
