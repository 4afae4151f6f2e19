"""Names of SE's tensors in timm and torchvision <-> ours. State dicts in, state dicts out.

Only names change, and the shape of SE's two layers: theirs are 1x1 convolutions (R, C, 1, 1), ours
are linear (R, C). C channels, R hidden channels. No tensor is copied.

    timm seresnet, seresnext   layer1.0.se.fc1.weight          fc.weight
    senet.pytorch              layer1.0.se.fc.0.weight (R, C), without biases
    timm legacy_seresnet       layer1.0.se_module.fc1.weight   last_linear.weight   layer0.conv1
    ours                       layer1.0.attend.standard.reduce.weight
    ours, woven                units.layer1_0.attend.standard.reduce.weight

    torchvision                features.4.block.2.fc1.weight
    ours, woven                units.features_4.attend.inner.reduce.weight

legacy_seresnet is the official Caffe release as timm has it. Of torchvision's networks MobileNetV3
and RegNetY have SE behind the activation of the depthwise or grouped convolution, where the woven
network has the slot `inner`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

State = Mapping[str, Tensor]
LayoutName = Literal["seresnet", "legacy_seresnet"]


@dataclass(frozen=True)
class Layout:
    """What timm writes before the stem's names, for `attend.standard` and for `fc`."""

    stem: str
    attention: str
    classifier: str


LAYOUTS: dict[LayoutName, Layout] = {
    "seresnet": Layout("", "se", "fc"),
    "legacy_seresnet": Layout("layer0.", "se_module", "last_linear"),
}
LAYERS = {"fc1": "reduce", "fc2": "expand"}
LAYERS_BACK = {ours: theirs for theirs, ours in LAYERS.items()}
TENSOR = r"(?:weight|bias|running_mean|running_var|num_batches_tracked)"
BLOCK = r"layer\d\.\d+"
SEQUENTIAL = {"0": "fc1", "2": "fc2"}  # senet.pytorch has SE's layers in an nn.Sequential
SEQUENTIAL_SE = re.compile(rf"({BLOCK}\.se\.)fc\.([02])(?=\.)")
OUR_ATTENTION = re.compile(
    r"(?:units\.layer(\d)_(\d+)|layer(\d)\.(\d+))\.attend\.standard\.(reduce|expand)\.(weight|bias)"
)


def from_timm(theirs: State, *, woven: bool = False) -> dict[str, Tensor]:
    """Tensors of a timm SE-ResNet or SE-ResNeXt, in either layout, as ours.

    Its layers may be without biases, all of them. `woven`: as those of torchvision's network with
    slots woven in.
    Raises ValueError for a tensor that no such network has, and for one that is missing.
    """
    name = layout_of(theirs)
    layout = LAYOUTS[name]
    attention = re.compile(rf"({BLOCK})\.{layout.attention}\.(fc[12])\.(weight|bias)")
    rest = shared_names(layout)
    found = {}
    for key, tensor in theirs.items():
        if match := attention.fullmatch(key):
            block, layer, kind = match.groups()
            slot = f"units.{block.replace('.', '_')}" if woven else block
            found[f"{slot}.attend.standard.{LAYERS[layer]}.{kind}"] = as_linear(tensor)
        elif rest.fullmatch(key):
            found[renamed(key, layout, LAYOUTS["seresnet"])] = tensor
        else:
            raise ValueError(f"{key} is no tensor of a timm {name}: there is nowhere to put it")
    biased = any(has_attention(key, layout) and key.endswith(".bias") for key in theirs)
    wanted = [
        f"{block}.{layout.attention}.{layer}.{kind}"
        for block in blocks_of(theirs)
        for layer in LAYERS
        for kind in ("weight", "bias")
        if biased or kind == "weight"
    ]
    refuse_missing(theirs, wanted, f"a timm {name}")
    return found


def as_timm(theirs: State) -> dict[str, Tensor]:
    """Tensors of senet.pytorch's SE-ResNets under timm's names, others as they are."""
    return {
        SEQUENTIAL_SE.sub(lambda match: f"{match[1]}{SEQUENTIAL[match[2]]}", name): (
            as_convolution(tensor) if SEQUENTIAL_SE.match(name) else tensor
        )
        for name, tensor in theirs.items()
    }


def to_timm(ours: State, layout: LayoutName = "seresnet") -> dict[str, Tensor]:
    """Tensors of our SE-ResNet, or of a woven one, as timm's; layers without bias get one of zeros.

    Raises ValueError for a tensor that no such network has, and for one that is missing.
    """
    names = LAYOUTS[layout]
    rest = shared_names(LAYOUTS["seresnet"])
    found = {}
    for key, tensor in ours.items():
        if match := OUR_ATTENTION.fullmatch(key):
            *places, layer, kind = match.groups()
            stage, block = [place for place in places if place is not None]
            path = f"layer{stage}.{block}.{names.attention}.{LAYERS_BACK[layer]}"
            found[f"{path}.{kind}"] = as_convolution(tensor)
            if kind == "weight":
                found.setdefault(f"{path}.bias", tensor.new_zeros(len(tensor)))
        elif rest.fullmatch(key):
            found[renamed(key, LAYOUTS["seresnet"], names)] = tensor
        else:
            raise ValueError(
                f"{key} is no tensor of an SE-ResNet with SE at placement.position=standard: "
                f"a timm {layout} has none like it"
            )
    wanted = [
        f"{block}.{names.attention}.{layer}.weight"
        for block in blocks_of(found)
        for layer in LAYERS
    ]
    refuse_missing(found, wanted, f"a timm {layout}")
    return found


def layout_of(theirs: State) -> LayoutName:
    """Which of timm's layouts it is. Raises ValueError for neither."""
    for name, layout in LAYOUTS.items():
        if any(has_attention(key, layout) for key in theirs):
            return name
    some = ", ".join(list(theirs)[:3]) or "no tensor"
    raise ValueError(
        f"no tensor is named layer1.0.se.fc1.weight or layer1.0.se_module.fc1.weight ({some} ...): "
        "these are no weights of a timm seresnet or legacy_seresnet"
    )


def is_timm(theirs: State) -> bool:
    """Whether a tensor is named as SE's are in one of timm's layouts."""
    return any(has_attention(key, layout) for key in theirs for layout in LAYOUTS.values())


def has_attention(name: str, layout: Layout) -> bool:
    """Whether this is how the layout names a tensor of SE."""
    return re.match(rf"{BLOCK}\.{layout.attention}\.fc[12]\.", name) is not None


def shared_names(layout: Layout) -> re.Pattern[str]:
    """Matches the names of a ResNet's tensors that are not SE's."""
    inside = r"(?:conv[123]|bn[123]|downsample\.[01])"
    stem, classifier = re.escape(layout.stem), layout.classifier
    return re.compile(rf"(?:{stem}(?:conv1|bn1)|{BLOCK}\.{inside}|{classifier})\.{TENSOR}")


def renamed(name: str, source: Layout, target: Layout) -> str:
    """The name of a tensor that is not SE's, in another layout."""
    if re.match(rf"{BLOCK}\.", name):
        return name
    if name.startswith(f"{source.classifier}."):
        return f"{target.classifier}{name.removeprefix(source.classifier)}"
    return f"{target.stem}{name.removeprefix(source.stem)}"


def blocks_of(state: State) -> list[str]:
    """The paths of its residual blocks: `layer1.0`."""
    matches = (re.match(BLOCK, name) for name in state)
    return list(dict.fromkeys(match.group() for match in matches if match))


def refuse_missing(state: State, wanted: Iterable[str], what: str) -> None:
    """Raises ValueError for the first that is not there."""
    for name in wanted:
        if name not in state:
            raise ValueError(f"{name} is missing: {what} has it in every block")


def as_linear(tensor: Tensor) -> Tensor:
    """(R, C, 1, 1) -> (R, C); a bias as it is. Raises ValueError for other shapes."""
    if tensor.dim() not in (1, 4) or tensor.shape[2:] not in ((), (1, 1)):
        raise ValueError(f"SE's layers are 1x1 convolutions, not {tuple(tensor.shape)}")
    return tensor.flatten(1) if tensor.dim() == 4 else tensor


def as_convolution(tensor: Tensor) -> Tensor:
    """(R, C) -> (R, C, 1, 1); a bias as it is."""
    return tensor[:, :, None, None] if tensor.dim() == 2 else tensor


def from_torchvision(theirs: State, units: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of torchvision's network as those of the woven one, whose `units` are named.

    Raises ValueError for SE outside of any unit.
    """
    keys = sorted(units, key=len, reverse=True)
    found = {}
    for name, tensor in theirs.items():
        path, layer, kind = split_se_name(name)
        if path:
            found[inner_slot_name(path, keys, layer, kind)] = as_linear(tensor)
        else:
            found[name] = tensor
    return found


def to_torchvision(ours: State, names: Iterable[str], units: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of the woven network as torchvision's; `names` are those of its state dict.

    Raises ValueError for a tensor that is missing, and for one left over.
    """
    keys = sorted(units, key=len, reverse=True)
    found, left = {}, dict(ours)
    for name in names:
        path, layer, kind = split_se_name(name)
        key = inner_slot_name(path, keys, layer, kind) if path else name
        if key not in left:
            raise ValueError(f"{key} is missing: torchvision's network has {name}")
        tensor = left.pop(key)
        found[name] = as_convolution(tensor) if path else tensor
    if left:
        raise ValueError(f"{next(iter(left))} is no tensor of torchvision's network")
    return found


def split_se_name(name: str) -> tuple[str, str, str]:
    """`features.1.block.1.fc1.weight` -> `features.1.block.1`, `fc1`, `weight`; "" for others."""
    match = re.fullmatch(r"(.+)\.(fc[12])\.(weight|bias)", name)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def inner_slot_name(path: str, keys: list[str], layer: str, kind: str) -> str:
    """The tensor's name in the slot `inner` of the first unit in `keys` that holds `path`."""
    flat = path.replace(".", "_")
    for key in keys:
        if flat.startswith(f"{key}_"):
            return f"units.{key}.attend.inner.{LAYERS[layer]}.{kind}"
    raise ValueError(f"{path} is in no unit of the network: weave the network that it belongs to")
