"""Networks against torchvision, the published parameter counts and the closed form."""

from functools import partial

import pytest
import torch
import torchvision.models
from torch import nn

from senet_train.attention import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.cifar_resnet import ZeroPadShortcut
from senet_train.config import Placement
from senet_train.insert import build_network

EVERYWHERE = Placement(stages="all", position="standard")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def build(name: str, num_classes: int, ratio: int = 0, bias: bool = False, **options: str):
    """A network on the meta device; ratio 0 leaves attention out."""
    attention = partial(SqueezeExcite, ratio=ratio, bias=bias) if ratio else nn.Identity
    backbone = partial(BACKBONES[name], **options)
    with torch.device("meta"):
        return build_network(backbone, attention, EVERYWHERE, num_classes=num_classes, seed=0)


# Plain, SE r=16 without bias (the paper), SE r=16 with bias (the Caffe release).
IMAGENET = {
    "resnet18": (11_689_512, 11_776_552, 11_778_592),
    "resnet34": (21_797_672, 21_954_856, 21_958_868),
    "resnet50": (25_557_032, 28_071_976, 28_088_024),
    "resnet101": (44_549_160, 49_292_328, 49_326_872),
    "resnet152": (60_192_808, 66_770_984, 66_821_848),
}
CIFAR_STEM = {
    "resnet18": (11_173_962, 11_261_002, 11_263_042),
    "resnet34": (21_282_122, 21_439_306, 21_443_318),
    "resnet50": (23_520_842, 26_035_786, 26_051_834),
}
# Option A plain, option B plain, and option B with SE r=16, without and with bias.
HE_CIFAR = {
    "resnet20": (269_722, 272_474, 274_490, 274_847),
    "resnet32": (464_154, 466_906, 470_266, 470_861),
    "resnet44": (658_586, 661_338, 666_042, 666_875),
    "resnet56": (853_018, 855_770, 861_818, 862_889),
    "resnet110": (1_727_962, 1_730_714, 1_742_810, 1_744_952),
}


RESNETS = [
    *((name, "imagenet", 1000, counts) for name, counts in IMAGENET.items()),
    *((name, "cifar", 10, counts) for name, counts in CIFAR_STEM.items()),
]


@pytest.mark.parametrize(("name", "stem", "num_classes", "counts"), RESNETS)
def test_resnet_parameters(
    name: str, stem: str, num_classes: int, counts: tuple[int, int, int]
) -> None:
    plain, without_bias, with_bias = counts
    assert count(build(name, num_classes, stem=stem)[0]) == plain
    assert count(build(name, num_classes, 16, stem=stem)[0]) == without_bias
    assert count(build(name, num_classes, 16, bias=True, stem=stem)[0]) == with_bias


@pytest.mark.parametrize("name", HE_CIFAR)
def test_he_cifar_parameters(name: str) -> None:
    option_a, option_b, without_bias, with_bias = HE_CIFAR[name]
    assert count(build(name, 10, shortcut="A")[0]) == option_a
    assert count(build(name, 10)[0]) == option_b
    assert count(build(name, 10, 16)[0]) == without_bias
    assert count(build(name, 10, 16, bias=True)[0]) == with_bias
    assert count(build(name, 100)[0]) == option_b + 5_850


@pytest.mark.parametrize("ratio", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_closed_form(name: str, ratio: int) -> None:
    """SE adds (2 / r) sum N_s C_s^2 weights: equation 5 of the paper."""
    depths = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}[name]
    expansion = {"resnet18": 1, "resnet50": 4}[name]
    channels = [expansion * 64 * 2**stage for stage in range(4)]
    expected = sum(n * 2 * c * (c // ratio) for n, c in zip(depths, channels, strict=True))
    network, slots = build(name, 1000, ratio)
    assert count(network) - IMAGENET[name][0] == expected
    assert [slot.hidden for slot in slots] == [
        c // ratio for n, c in zip(depths, channels, strict=True) for _ in range(n)
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_equals_torchvision(name: str) -> None:
    """Same names, so torchvision's weights load; same logits."""
    ours = BACKBONES[name](7, stem="imagenet").eval()
    theirs = getattr(torchvision.models, name)(num_classes=7).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_zero_pad_shortcut() -> None:
    x = torch.randn(2, 16, 6, 6)
    y = ZeroPadShortcut(16, 2)(x)
    assert y.shape == (2, 32, 3, 3)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert y[:, :8].abs().sum() + y[:, 24:].abs().sum() == 0


@pytest.mark.parametrize("name", BACKBONES)
def test_logits_shape(name: str) -> None:
    network, _ = build(name, 13, 4)
    assert network(torch.empty(2, 3, 40, 40, device="meta")).shape == (2, 13)
    assert all(network.stages().values())
