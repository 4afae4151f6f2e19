"""Networks against torchvision, the published parameter counts and the closed form."""

from functools import partial
from typing import Any

import pytest
import torch
import torchvision.models
from support import count, randomise_norms
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.cifar_resnet import ZeroPadShortcut
from senet_train.backbones.preact_resnet import PreActBasicBlock, PreActBottleneck, PreActResNet
from senet_train.config.options import bind
from senet_train.config.schema import Choice, Placement
from senet_train.errors import InputError
from senet_train.networks.insertion import build_network

EVERYWHERE = Placement(stages="all", position="standard", min_channels=1)


def build(name: str, num_classes: int, ratio: int = 0, bias: bool = False, **options: Any):
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
    "resnet8": (75_290, 78_042, 78_714, 78_833),
    "resnet20": (269_722, 272_474, 274_490, 274_847),
    "resnet32": (464_154, 466_906, 470_266, 470_861),
    "resnet44": (658_586, 661_338, 666_042, 666_875),
    "resnet56": (853_018, 855_770, 861_818, 862_889),
    "resnet110": (1_727_962, 1_730_714, 1_742_810, 1_744_952),
}
# Blocks a stage, a block's expansion, channels of its 3x3 convolutions, and the parameters with
# 10 and 100 classes: those in the tests of https://github.com/osmr/imgclsmob, but for wrn16_8.
PREACT = {
    "preact_resnet20": (3, 1, (16, 32, 64), (272_282, 278_132)),
    "preact_resnet110": (18, 1, (16, 32, 64), (1_730_522, 1_736_372)),
    "preact_resnet164": (18, 4, (16, 32, 64), (1_703_258, 1_726_388)),
    "wrn16_8": (2, 1, (128, 256, 512), (10_961_370, 11_007_540)),  # 11.0 M in the paper
    "wrn28_10": (4, 1, (160, 320, 640), (36_479_194, 36_536_884)),
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


def preact_parameters(depth: int, expansion: int, widths: tuple[int, ...], classes: int) -> int:
    """Stem, blocks (each convolution with the BatchNorm before it), BatchNorm, classifier."""
    total, channels = 3 * 16 * 9, 16
    for width in widths:
        out = expansion * width
        kernels = (1, 9, 1) if expansion == 4 else (9, 9)
        between = [width] * (len(kernels) - 1)
        for read in (channels, *[out] * (depth - 1)):
            pairs = zip(kernels, (read, *between), (*between, out), strict=True)
            total += sum(2 * a + kernel * a * b for kernel, a, b in pairs)
        total += channels * out if channels != out else 0  # a projection changes the shape
        channels = out
    return total + 2 * channels + (channels + 1) * classes


@pytest.mark.parametrize("name", PREACT)
def test_preact_parameters(name: str) -> None:
    *shape, published = PREACT[name]
    for num_classes, expected in zip((10, 100), published, strict=True):
        assert count(build(name, num_classes)[0]) == expected
        assert preact_parameters(*shape, num_classes) == expected


@pytest.mark.parametrize("ratio", [2, 16])
@pytest.mark.parametrize("name", PREACT)
def test_preact_closed_form(name: str, ratio: int) -> None:
    """(2 / r) sum N_s C_s^2 once more."""
    depth, expansion, widths, (plain, _) = PREACT[name]
    added = sum(depth * 2 * (expansion * width) ** 2 // ratio for width in widths)
    network, slots = build(name, 10, ratio)
    assert count(network) == plain + added
    assert [slot.channels for slot in slots] == [
        expansion * width for width in widths for _ in range(depth)
    ]


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("channels", [[16, 32, 64], [20, 40, 81], [8, 8, 8]])
def test_channels_of_a_cifar_resnet(channels: list[int], shortcut: str) -> None:
    choice = Choice("resnet20", {"channels": channels, "shortcut": shortcut})
    backbone, _ = bind(choice, BACKBONES, "model", "senet_train.backbone")
    first, second, third = channels
    total = 27 * first + 2 * first  # the stem and its BatchNorm
    for before, width in ((first, first), (first, second), (second, third)):
        total += 9 * width * (before + 5 * width) + 12 * width
    if shortcut == "B":
        total += sum((before + 2) * after for before, after in ((first, second), (second, third)))
    network = backbone(10)
    assert count(network) == total + 10 * third + 10
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("channels", [[16, 32], [16, 32, 64, 128], [0, 32, 64], [32, 16, 64]])
def test_channels_that_are_refused(channels: list[int]) -> None:
    backbone, _ = bind(Choice("resnet20", {"channels": channels}), BACKBONES, "model", "none")
    with pytest.raises(ValueError, match=r"channels=\[.* are not three widths.*: choose"):
        backbone(10)


def test_channels_are_whole_numbers() -> None:
    for wrong in ([16, 32, 64.5], "16,32,64", 16):
        with pytest.raises(InputError, match=r"model\.channels"):
            bind(Choice("resnet20", {"channels": wrong}), BACKBONES, "model", "none")


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_equals_torchvision(name: str) -> None:
    """Same names, so torchvision's weights load; same logits."""
    theirs = getattr(torchvision.models, name)(num_classes=7).eval()
    with torch.device("meta"):  # it takes the tensors of theirs
        ours = BACKBONES[name](7, stem="imagenet").eval()
    ours.load_state_dict(theirs.state_dict(), assign=True)
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
    network.eval()  # BatchNorm takes half as long, and has the same rules for shapes
    with torch.no_grad():
        assert network(torch.empty(2, 3, 40, 40, device="meta")).shape == (2, 13)
    assert all(network.by_stage().values())


def paper_logits(state: dict[str, Tensor], x: Tensor, depth: int, convolutions: int) -> Tensor:
    """x' = h(x) + F(x) of the paper, equation 1, with every norm written out."""

    def activated(norm: str, x: Tensor) -> Tensor:
        weight, bias, mean, variance = (
            state[f"{norm}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return F.relu((x - mean) / (variance + 1e-5).sqrt() * weight + bias)

    x = F.conv2d(x, state["conv1.weight"], padding=1)
    for stage, index in ((stage, index) for stage in (1, 2, 3) for index in range(depth)):
        block, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
        branch, shortcut = x, x
        for number in range(1, convolutions + 1):
            branch = activated(f"{block}.bn{number}", branch)
            if number == 1 and f"{block}.projection.weight" in state:
                shortcut = F.conv2d(branch, state[f"{block}.projection.weight"], stride=stride)
            kernel = state[f"{block}.conv{number}.weight"]
            step = stride if number == 1 else 1
            branch = F.conv2d(branch, kernel, stride=step, padding=kernel.shape[-1] // 2)
        x = shortcut + branch
    return activated("bn", x).mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize("block", [PreActBasicBlock, PreActBottleneck])
def test_preact_equals_the_paper(block: type[PreActBasicBlock | PreActBottleneck]) -> None:
    network = PreActResNet(7, block=block, blocks_per_stage=2, widths=(4, 8, 12)).double().eval()
    randomise_norms(network)
    x = torch.randn(3, 3, 12, 12).double()
    convolutions = 2 if block is PreActBasicBlock else 3
    expected = paper_logits(network.state_dict(), x, 2, convolutions)
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected)
