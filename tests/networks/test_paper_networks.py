"""The networks of Hu et al.'s tables 2 and 3: counts beside theirs, and ours against timm's."""

from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from torch import nn

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.commands.profile.counts import attention_operations
from senet_train.config.schema import Placement
from senet_train.networks.cost import count_operations, count_parameters, products
from senet_train.networks.graph.weave import weave
from senet_train.networks.insertion import insert
from senet_train.networks.libraries.timm import timm_network
from senet_train.networks.libraries.torchvision import plain_network
from senet_train.networks.weights.published import as_released

SMALL = ("mobilenet_v1", "bn_inception", "shufflenet_v1")


def ours(name: str) -> Backbone:
    return BACKBONES[name](1000)


def released(name: str) -> Backbone:
    network = ours(name)
    as_released(network)
    return network


def library(name: str) -> Backbone:
    return weave(plain_network(name, 1000))


def of_timm(name: str) -> Backbone:
    return timm_network(name)(1000)


def counted(make: Callable[[], Backbone], size: int = 224) -> tuple[float, float, float, float]:
    """Parameters in millions and multiply-adds in 10^9, without SE and with it, ratio 16.

    SE's are its two layers and its scales: the paper's differences hold no room for the pools.
    """
    with torch.device("meta"):
        network = make()
        plain = products(count_operations(network, size)["Global"])
        before = count_parameters(network)
        slots = insert(network, partial(SqueezeExcite, ratio=16))
        found = attention_operations(network, slots, size)
    added = found.layers + found.scale
    return before / 1e6, plain / 1e9, count_parameters(network) / 1e6, (plain + added) / 1e9


# How it is made, then the paper's parameters and multiply-adds, plain and with SE; 0 where it has
# none. Last what is allowed beyond its rounding, 10^9: docs/guide/networks.md says where it comes
# from.
EXACT = 0.0
PAPER = {
    "resnet50": (partial(released, "resnet50"), (25.6, 3.86), (28.1, 3.87), EXACT),
    "resnet101": (partial(released, "resnet101"), (0, 7.58), (0, 7.60), 0.012),
    "resnet152": (partial(released, "resnet152"), (0, 11.30), (0, 11.32), 0.013),
    "resnext50": (partial(library, "resnext50_32x4d"), (0, 4.24), (0, 4.25), 0.007),
    "resnext101": (partial(of_timm, "resnext101_32x4d"), (0, 7.99), (0, 8.00), 0.016),
    "vgg16_bn": (partial(library, "vgg16_bn"), (0, 15.47), (0, 15.48), EXACT),
    "bn_inception": (partial(ours, "bn_inception"), (0, 2.03), (0, 2.04), 0.001),
}
MOBILE = {"mobilenet_v1": (569, 572, 4.2, 4.7, 0.0), "shufflenet_v1": (140, 142, 1.8, 2.4, 2.1)}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_the_papers_counts(name: str) -> None:
    make, *published, beyond = PAPER[name]
    parameters, adds, se_parameters, se_adds = counted(make)
    found = ((parameters, adds), (se_parameters, se_adds))
    for (millions, billions), (wanted, wanted_billions) in zip(found, published, strict=True):
        assert abs(billions - wanted_billions) <= 0.005 + beyond
        assert not wanted or abs(millions - wanted) <= 0.05


@pytest.mark.parametrize("name", MOBILE)
def test_the_papers_small_networks(name: str) -> None:
    """Parameters as the paper has them cut after a digit; SE's share fits to the last of them."""
    adds, se_adds, parameters, se_parameters, beyond = MOBILE[name]
    found = counted(partial(ours, name))
    assert int(10 * found[0]) / 10 == parameters
    assert int(10 * found[2]) / 10 == se_parameters
    assert abs(1000 * found[1] - adds) <= 0.5 + beyond
    assert abs(1000 * found[3] - se_adds) <= 0.5 + beyond


def test_elsewhere_the_count_is_another() -> None:
    """SE behind MobileNet's depthwise convolutions would make 4.5 M parameters, not 4.7."""
    with torch.device("meta"):
        network = ours("mobilenet_v1")
        insert(network, partial(SqueezeExcite, ratio=16), Placement(position="inner"))
    assert int(count_parameters(network) / 1e5) == 45


@pytest.mark.slow
def test_inception_resnet_v2_of_timm_is_larger() -> None:
    """13.16 x 10^9 multiply-adds where the paper has 11.75."""
    parameters, adds, _, se_adds = counted(partial(of_timm, "inception_resnet_v2"), 299)
    assert parameters == pytest.approx(55.84, abs=0.01)
    assert adds == pytest.approx(13.156, abs=0.001)
    assert se_adds == pytest.approx(13.176, abs=0.001)


def test_mobilenet_is_timms() -> None:
    theirs = timm.create_model("mobilenetv1_100", num_classes=10, act_layer=nn.ReLU).eval()
    network = BACKBONES["mobilenet_v1"](10).eval()
    values = zip(network.state_dict(), theirs.state_dict().values(), strict=True)
    network.load_state_dict(dict(values))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs(x)
        assert (network(x) - wanted).abs().max() < 1e-5 * wanted.std()
        network.units[0].pointwise.weight.mul_(-1)  # negative control
        assert (network(x) - wanted).abs().max() > 0.1 * wanted.std()


def test_bn_inception_is_the_caffe_models_size() -> None:
    """11,295,240 in the tests of https://github.com/osmr/imgclsmob, which have biases as well."""
    with torch.device("meta"):
        network = ours("bn_inception")
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    biases = sum(convolution.out_channels for convolution in convolutions)
    assert count_parameters(network) + biases == 11_295_240
    assert len(convolutions) == 69


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", SMALL)
def test_every_slot_is_reached(name: str, stem: str) -> None:
    network = BACKBONES[name](4, stem=stem)
    positions = {p for units in network.by_stage().values() for unit in units for p in unit.attend}
    assert {"pre", "standard", "post"} <= positions
    for position in positions:
        slots = insert(network, partial(SqueezeExcite, ratio=4), Placement(position=position))
        filled = [network.get_submodule(slot.name) for slot in slots]
        size = 16 if stem == "cifar" else 64
        network(torch.randn(2, 3, size, size)).sum().backward()
        for module in filled:
            assert all(parameter.grad is not None for parameter in module.parameters())
