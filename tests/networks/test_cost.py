"""Parameters and multiply-adds against closed forms and published numbers."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch

from senet_train.attention import ATTENTIONS
from senet_train.attention.controls import NoAttention
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.config.schema import Placement
from senet_train.networks import cost as cost_module
from senet_train.networks.cost import NetworkCost, measure_cost
from senet_train.networks.insertion import Slot, build_network, insert

EVERYWHERE = Placement(stages="all", position="standard", min_channels=1)


def cost(name: str, size: int, ratio: int = 0, **options: str) -> tuple[NetworkCost, list[Slot]]:
    attention = partial(SqueezeExcite, ratio=ratio) if ratio else NoAttention
    with torch.device("meta"):
        network, slots = build_network(
            partial(BACKBONES[name], **options), attention, EVERYWHERE, num_classes=10, seed=0
        )
        return measure_cost(network, slots, size), slots


def conv(channels_in: int, channels_out: int, kernel: int, size: int) -> int:
    return channels_in * channels_out * kernel**2 * size**2


def test_resnet20_by_hand() -> None:
    """Stem, 18 convolutions of 3x3, two projections of 1x1, the classifier."""
    stages = 0
    channels_in = 16
    for channels, size in ((16, 32), (32, 16), (64, 8)):
        stages += conv(channels_in, channels, 3, size) + 5 * conv(channels, channels, 3, size)
        if channels_in != channels:
            stages += conv(channels_in, channels, 1, size)
        channels_in = channels
    expected = conv(3, 16, 3, 32) + stages + 64 * 10
    plain, _ = cost("resnet20", 32)
    assert plain == NetworkCost(272_474, 0, expected, 0)


def test_published_multiply_adds() -> None:
    """ResNet-18 at 224: 1.814 G; ResNet-50: 4.089 G (1000 classes there, 10 here)."""
    for name, width, published in (("resnet18", 512, 1.814e9), ("resnet50", 2048, 4.089e9)):
        plain, _ = cost(name, 224, stem="imagenet")
        assert plain.multiply_adds + 990 * width == pytest.approx(published, rel=3e-4)


@pytest.mark.parametrize("name", ["se", "bam", "coord"])  # the last two have BatchNorms inside
def test_batch_norms_that_are_passed_over_cost_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same counts with every BatchNorm in its place."""
    with torch.device("meta"):
        network = BACKBONES["resnet8"](10)
        slots = insert(network, ATTENTIONS[name])
        counted = measure_cost(network, slots, 16)
        assert not [module for module in network.modules() if "forward" in vars(module)]
        monkeypatch.setattr(cost_module, "skip_batch_norms", lambda network: nullcontext())
        assert measure_cost(network, slots, 16) == counted


@pytest.mark.parametrize("ratio", [2, 16])
@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50"])
def test_se_adds_its_closed_form(name: str, ratio: int) -> None:
    """2 C R for the two products, C H W for the pool and C H W for the scaling."""
    options = {} if name == "resnet20" else {"stem": "cifar"}
    plain, _ = cost(name, 32, **options)
    se, slots = cost(name, 32, ratio, **options)
    expected = 0
    for slot in slots:
        size = 32 // 2 ** (slot.stage - 1)
        expected += 2 * slot.channels * slot.hidden + 2 * slot.channels * size**2
    assert se.attention_multiply_adds == expected
    assert se.multiply_adds - plain.multiply_adds == expected
    products = sum(2 * slot.channels * slot.hidden for slot in slots)
    assert se.attention_parameters == se.parameters - plain.parameters == products
