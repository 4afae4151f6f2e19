"""Published SE weights: timm's and torchvision's networks and ours are one function, both ways."""

import copy
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import MobileNetV3, RegNet
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams

from senet_train.attention.efficient_channel import EfficientChannelAttention
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones.resnet import resnet18, resnet34, resnet50
from senet_train.backbones.slots import Backbone
from senet_train.networks.graph.weave import WovenNetwork, weave
from senet_train.networks.insertion import insert
from senet_train.networks.libraries.torchvision import plain_network
from senet_train.networks.weights.names import from_timm, to_timm, to_torchvision
from senet_train.networks.weights.published import as_released, load_published, timm_state


def resnext(num_classes: int) -> WovenNetwork:
    return weave(plain_network("resnext50_32x4d", num_classes))


PAIRS: dict[str, tuple[Callable[[int], Backbone], str]] = {
    "seresnet18": (resnet18, "seresnet"),  # its first stage has ratio 8, the others 16
    "seresnet50": (resnet50, "seresnet"),
    "seresnext50_32x4d": (resnext, "seresnet"),
    "legacy_seresnet50": (resnet50, "legacy_seresnet"),
    "legacy_seresnext50_32x4d": (resnext, "legacy_seresnet"),
}


def scramble(network: nn.Module) -> nn.Module:
    """Every norm's statistics and scales drawn, as training leaves none of them at 0 or 1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            module.num_batches_tracked.fill_(7)
    return network.eval()


def logits(network: nn.Module) -> Tensor:
    with torch.no_grad():
        return network.eval()(torch.randn(2, 3, 75, 75, generator=torch.Generator().manual_seed(1)))


def apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, in standard deviations of what is wanted."""
    return float((found - wanted).abs().max() / wanted.std())


def assert_same_bits(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def undrawn(constructor: Callable[..., Any]) -> Any:
    """A network of what memory holds, for weights that give it every tensor."""
    with torch.device("meta"):
        network = constructor(num_classes=10)
    return network.to_empty(device="cpu")


LARGE = ("seresnet50", "legacy_seresnext50_32x4d")  # what they have is in the others as well


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in PAIRS]
)
def test_timm_and_ours_are_one_function(name: str) -> None:
    constructor, layout = PAIRS[name]
    theirs, ours = scramble(timm.create_model(name, num_classes=10)), undrawn(constructor)
    paths = load_published(ours, theirs.state_dict())
    assert len(paths) == sum(len(stage) for stage in ours.by_stage().values())
    assert apart(logits(ours), logits(theirs)) < 1e-5
    assert_same_bits(timm_state(ours, layout), theirs.state_dict())
    again = undrawn(partial(timm.create_model, name))  # and back, into a network of theirs
    again.load_state_dict(timm_state(scramble(ours), layout))
    assert apart(logits(again), logits(ours)) < 1e-5
    for module in ours.modules():  # negative control: the gates are in the logits
        if isinstance(module, SqueezeExcite):
            module.expand.bias.data += 1.0
    assert apart(logits(again), logits(ours)) > 0.01


def test_without_bias_theirs_is_zero() -> None:
    ours = resnet18(10)
    insert(ours, partial(SqueezeExcite, ratio=8))  # bias=False, the bench's default
    theirs = timm.create_model("seresnet18", num_classes=10, block_args={"attn_layer": eighth})
    theirs.load_state_dict(timm_state(scramble(ours)))
    assert apart(logits(theirs), logits(ours)) < 1e-5


eighth = partial(timm.layers.SEModule, rd_ratio=1 / 8)


def test_the_release_strides_elsewhere() -> None:
    """Its weights in a ResNet with torchvision's strides and pool: other logits, so they move."""
    theirs = scramble(timm.create_model("legacy_seresnet50", num_classes=10))
    ours = undrawn(resnet50)
    insert(ours, partial(SqueezeExcite, ratio=16, bias=True))
    ours.load_state_dict(from_timm(theirs.state_dict()))
    wanted = logits(theirs)
    assert apart(logits(ours), wanted) > 0.1
    with pytest.raises(ValueError, match="torchvision's strides and pool"):
        timm_state(ours, "legacy_seresnet")
    as_released(ours)
    assert apart(logits(ours), wanted) < 1e-5
    with pytest.raises(ValueError, match="official release's strides and pool"):
        timm_state(ours)


@pytest.mark.parametrize("layout", ["seresnet", "legacy_seresnet"])
def test_woven_or_not_the_names_are_theirs(layout: str) -> None:
    with torch.device("meta"):
        ours, woven = resnet34(10), weave(plain_network("resnet34", 10))
        for network in (ours, woven):
            insert(network, partial(SqueezeExcite, ratio=16, bias=True))
        theirs = to_timm(ours.state_dict(), layout)
        assert theirs.keys() == to_timm(woven.state_dict(), layout).keys()
        assert from_timm(theirs, woven=True).keys() == woven.state_dict().keys()
        assert from_timm(theirs).keys() == ours.state_dict().keys()


def small_regnet() -> RegNet:
    widths = BlockParams([2, 1], [32, 64], [16, 16], [1.0, 1.0], [2, 2], se_ratio=0.25)
    return RegNet(widths, num_classes=10, stem_width=32)


def small_mobilenet() -> MobileNetV3:
    blocks = [  # in, kernel, expanded, out, SE, activation, stride, dilation
        InvertedResidualConfig(16, 3, 16, 16, False, "RE", 2, 1, 1.0),
        InvertedResidualConfig(16, 3, 64, 24, True, "RE", 2, 1, 1.0),
        InvertedResidualConfig(24, 5, 96, 24, True, "HS", 1, 1, 1.0),
        InvertedResidualConfig(24, 5, 24, 24, True, "HS", 1, 1, 1.0),  # nothing to expand
    ]
    return MobileNetV3(blocks, last_channel=64, num_classes=10)


@pytest.mark.parametrize("make", [small_regnet, small_mobilenet])
def test_torchvision_and_ours_are_one_function(make: Callable[[], nn.Module]) -> None:
    theirs = scramble(make())
    state = copy.deepcopy(theirs.state_dict())
    ours = weave(make())
    paths = load_published(ours, state)
    assert [path.rpartition(".")[2] for path in paths] == ["inner"] * 3
    assert apart(logits(ours), logits(theirs)) < 1e-5
    back = to_torchvision(ours.state_dict(), state, ours.units.keys())
    assert_same_bits(back, state)
    for path in paths:  # negative control
        ours.get_submodule(path).expand.bias.data -= 1.0
    assert apart(logits(ours), logits(theirs)) > 0.01


def changed(name: str, tensor: Tensor | None) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        state.pop(name, None)
        if tensor is not None:
            state[name] = tensor

    return change


SE = "layer1.0.se.fc1"
MISFITS = {
    "surplus": (changed("stem.weight", torch.ones(1)), "stem.weight is no tensor of a timm seres"),
    "no SE": (changed(f"{SE}.bias", None), f"{SE}.bias is missing: a timm seresnet has it in"),
    "no norm": (changed("bn1.bias", None), "bn1.bias is missing in the weights: choose the netw"),
    "classes": (changed("fc.bias", torch.ones(9)), "fc.bias is (9,) in the weights, (10,) here"),
    "deeper": (
        changed("layer1.1.conv3.weight", torch.ones(1)),
        "the network has no layer1.1.conv3",
    ),
    "width": (changed(f"{SE}.weight", torch.ones(24, 64, 1, 1)), "has 24 hidden channels for 64"),
    "wider": (changed(f"{SE}.weight", torch.ones(65, 64, 1, 1)), "has 65 hidden channels for 64"),
    "linear": (changed(f"{SE}.weight", torch.ones(8, 64)), "SE's layers are 1x1 convolutions, not"),
    "kernel": (changed(f"{SE}.weight", torch.ones(8, 64, 3, 3)), "SE's layers are 1x1 convol"),
}


@cache
def drawn() -> nn.Module:
    """A network of timm, which no test changes."""
    return timm.create_model("seresnet18", num_classes=10)


@pytest.mark.parametrize("case", MISFITS)
def test_weights_that_do_not_fit(case: str) -> None:
    change, message = MISFITS[case]
    state, ours = dict(drawn().state_dict()), undrawn(resnet18)
    for tensor in ours.state_dict().values():
        tensor.fill_(3)
    before = copy.deepcopy(ours.state_dict())
    change(state)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        load_published(ours, state)
    assert "\n" not in str(raised.value)
    assert_same_bits(ours.state_dict(), before)


def test_old_weights_do_not_count_batches() -> None:
    theirs, ours = scramble(timm.create_model("seresnet18", num_classes=10)), resnet18(10)
    state = theirs.state_dict()
    old = {name: state[name] for name in state if not name.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    load_published(ours, old)
    assert apart(logits(ours), logits(theirs)) < 1e-5


def test_networks_that_are_not_theirs() -> None:
    with torch.device("meta"):  # names and shapes decide
        state = timm.create_model("seresnet18", num_classes=10).state_dict()
        filled = resnet18(10)
        insert(filled, EfficientChannelAttention)
        with pytest.raises(ValueError, match=r"layer1\.0\.attend\.standard is no empty slot"):
            load_published(filled, state)
        with pytest.raises(ValueError, match="is no tensor of an SE-ResNet with SE at"):
            timm_state(filled)
        legacy = timm.create_model("legacy_seresnet18", num_classes=10).state_dict()
        with pytest.raises(ValueError, match="has a ReLU between its last norm and SE"):
            load_published(resnet18(10), legacy)
        with pytest.raises(ValueError, match="EfficientNet has SiLU between its SE's layers"):
            load_published(
                weave(plain_network("efficientnet_b0", 10)), {"fc1.weight": torch.ones(1)}
            )
        with pytest.raises(ValueError, match="no weights of a timm seresnet"):
            load_published(resnet18(10), resnet18(10).state_dict())
        other = resnet18(10)
        insert(other, partial(SqueezeExcite, identity=True))
        with pytest.raises(ValueError, match="has no plain sigmoid behind an average"):
            timm_state(other)
        for refused in (as_released, timm_state):
            with pytest.raises(ValueError, match="no pool behind its stem"):
                refused(resnet50(10, stem="cifar"))
