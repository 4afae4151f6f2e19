"""Load published SE weights into one of our networks, and write ours as timm's."""

import re
from typing import Literal

import torch
from torch import Tensor, nn

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones.slots import Backbone
from senet_train.networks.graph.weave import WovenNetwork
from senet_train.networks.weights.names import (
    LayoutName,
    State,
    as_timm,
    from_timm,
    from_torchvision,
    is_timm,
    layout_of,
    to_timm,
)
from senet_train.networks.weights.read import current_name
from senet_train.networks.weights.unwrap import common_prefix

Gate = Literal["sigmoid", "hardsigmoid"]
# The gate of SE in those networks of torchvision that have ReLU between its layers, as ours has.
TORCHVISION_GATES: dict[str, Gate] = {"MobileNetV3": "hardsigmoid", "RegNet": "sigmoid"}
REDUCE = ".reduce.weight"


def load_published(network: Backbone, theirs: State) -> list[str]:
    """Put SE of the weights' widths into the network's slots and load all of them; their paths.

    `theirs` is the state dict of a timm seresnet, seresnext or legacy_seresnet, of an SE-ResNet of
    senet.pytorch, or that of the torchvision network that was woven; it may have been saved through
    DataParallel or torch.compile. For legacy_seresnet, the official release, strides and pool
    become the release's. Raises ValueError for what does not fit; the network then stays as it was.
    """
    gate: Gate = "sigmoid"
    theirs = {current_name(name): tensor for name, tensor in theirs.items()}
    prefix = common_prefix(network.state_dict(), theirs, "this state dict")
    theirs = as_timm({name.removeprefix(prefix): tensor for name, tensor in theirs.items()})
    legacy = is_timm(theirs) and layout_of(theirs) == "legacy_seresnet"
    if is_timm(theirs):
        state = from_timm(theirs, woven=isinstance(network, WovenNetwork))
    else:
        gate = torchvision_gate(network)
        assert isinstance(network, WovenNetwork)  # or there is no such gate
        state = from_torchvision(theirs, network.units)
    filling = {
        name.removesuffix(REDUCE): attention_for(name, state, gate)
        for name in state
        if name.endswith(REDUCE)
    }
    refuse_misfits(network, state, filling)
    if legacy:
        as_released(network)
    for path, module in filling.items():
        network.set_submodule(path, module.to(next(network.parameters())))
    network.load_state_dict(state)
    return list(filling)


def timm_state(network: Backbone, layout: LayoutName = "seresnet") -> dict[str, Tensor]:
    """The network's tensors as timm's, where timm's network gives the same logits.

    Raises ValueError for another gate or squeeze than theirs, and for strides of another layout.
    """
    for path, module in network.named_modules():
        plain = getattr(module, "activation", None) is torch.sigmoid
        if isinstance(module, SqueezeExcite) and not (plain and module.sees_only_means):
            raise ValueError(f"{path} has no plain sigmoid behind an average: timm's SE has")
    released = first_pool(network).ceil_mode
    if released != (layout == "legacy_seresnet"):
        other = "the official release's" if released else "torchvision's"
        raise ValueError(f"the network has {other} strides and pool: a timm {layout} has not")
    return to_timm(network.state_dict(), layout)


def as_released(network: Backbone) -> None:
    """Strides and pool of the official Caffe release, which hold no weights.

    The release strides at a bottleneck's first 1x1 convolution (with groups at the 3x3, as
    torchvision), and its pool has no padding. Raises ValueError for basic blocks: timm's have a
    ReLU before SE, and the release has no such network.
    """
    modules = dict(network.named_modules())
    if "layer1.0.conv3" not in modules:
        raise ValueError(
            "a timm legacy_seresnet of basic blocks has a ReLU between its last norm and SE, "
            "ours has none: take seresnet18 or seresnet34, or bottlenecks"
        )
    first_pool(network)
    network.set_submodule("maxpool", nn.MaxPool2d(3, 2, ceil_mode=True))
    for path, second in modules.items():
        if re.fullmatch(r"layer\d\.0\.conv2", path):
            first = modules[path.replace("conv2", "conv1")]
            assert isinstance(first, nn.Conv2d)
            assert isinstance(second, nn.Conv2d)
            if second.groups == 1 and first.stride == (1, 1):
                first.stride, second.stride = second.stride, first.stride


def first_pool(network: Backbone) -> nn.MaxPool2d:
    """The pool behind the stem. Raises ValueError for a network that has none."""
    pool = dict(network.named_modules()).get("maxpool")
    if not isinstance(pool, nn.MaxPool2d):
        raise ValueError("the network has no pool behind its stem: timm's have, take stem=imagenet")
    return pool


def torchvision_gate(network: Backbone) -> Gate:
    """The gate of the torchvision network that was woven. Raises ValueError for other networks."""
    name = type(network).__name__
    if isinstance(network, WovenNetwork):
        name = network.class_name
        if name in TORCHVISION_GATES:
            return TORCHVISION_GATES[name]
    if name == "EfficientNet":
        raise ValueError("EfficientNet has SiLU between its SE's layers: ours has ReLU")
    raise ValueError(
        "these are no weights of a timm seresnet or legacy_seresnet, and of torchvision's networks "
        f"only {' and '.join(TORCHVISION_GATES)} have SE like ours: this is {name}"
    )


def attention_for(name: str, state: State, gate: Gate) -> SqueezeExcite:
    """SE of the width that its weights have. Raises ValueError where no ratio gives it."""
    hidden, channels = state[name].shape
    ratio = max(1, channels // max(1, hidden))
    if channels // ratio != hidden:
        raise ValueError(
            f"{name} has {hidden} hidden channels for {channels}: ours have channels // ratio, "
            "and no ratio gives that"
        )
    bias = name.replace(".weight", ".bias") in state
    return SqueezeExcite(channels, ratio=ratio, bias=bias, gate=gate)


def refuse_misfits(network: Backbone, state: State, filling: dict[str, SqueezeExcite]) -> None:
    """Raises ValueError for a filled slot, and a tensor that is unknown, missing or misshapen."""
    slots = {path for path, module in network.named_modules() if type(module) is nn.Identity}
    for path in filling:
        if path not in slots:
            raise ValueError(f"{path} is no empty slot of the network: build one without attention")
    expected = dict(network.state_dict())
    for path, module in filling.items():
        expected |= {f"{path}.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, tensor in state.items():
        if name not in expected:
            raise ValueError(f"the network has no {name}: choose the one the weights belong to")
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)} in the weights, {tuple(expected[name].shape)} here"
            raise ValueError(f"{name} is {shapes}: choose their network and number of classes")
    for name in expected:
        # Weights from before PyTorch 0.4.1 do not count batches; BatchNorm loads them all the same.
        if name not in state and not name.endswith(".num_batches_tracked"):
            raise ValueError(f"{name} is missing in the weights: choose the network they belong to")
