"""The learning rate of each parameter by its depth, against counts of others and by hand."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import timm
import torch
from support import OPTIM, config
from timm.optim import param_groups_layer_decay
from torch import nn

from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config.schema import Optim, Placement
from senet_train.errors import InputError
from senet_train.networks.depth import depths_of
from senet_train.networks.graph.weave import weave
from senet_train.networks.insertion import insert
from senet_train.runs.network import NetworkBuilder
from senet_train.training.parameters import new_prefixes, parameter_groups

DECAYED = replace(OPTIM, layer_decay=0.5)

# Network -> the depth of a parameter, counted by hand from its name.
Depth = Callable[[str], int]


def in_layers(blocks: list[int], before: int = 0) -> Depth:
    """Of a ResNet with so many blocks in `layer1`, `layer2`, ..."""

    def depth(name: str) -> int:
        found = re.match(r"layer(\d+)\.(\d+)\.", name)
        if found is None:
            return 0 if name.startswith(("conv", "bn1", "stem")) else sum(blocks)
        stage, block = int(found[1]), int(found[2])
        return sum(blocks[: stage - 1]) + block + 1

    return depth


def of_mobilenet_v2(name: str) -> int:
    """features.1 to features.17 are blocks; a convolution before them, and one behind them."""
    number = int(name.split(".")[1]) if name.startswith("features.") else 17
    return min(number, 17)


def of_vgg11(name: str) -> int:
    """Its eight convolutions; the layers behind them have the depth of the last."""
    convolutions = [0, 3, 6, 8, 11, 13, 16, 18]
    return convolutions.index(int(name.split(".")[1])) + 1 if name.startswith("features.") else 8


BY_HAND: dict[str, Depth] = {
    "model=resnet20": in_layers([3, 3, 3]),
    "model=se_resnet50": in_layers([3, 4, 6, 3]),
    "model=preact_resnet20": in_layers([3, 3, 3]),
    "model=torchvision model.name=resnet18": in_layers([2, 2, 2, 2]),
    "model=torchvision model.name=mobilenet_v2": of_mobilenet_v2,
    "model=torchvision model.name=vgg11 data.image_size=32": of_vgg11,
}


def network_of(words: str) -> tuple[Backbone, tuple[str, ...]]:
    """The network on meta, and the prefixes of what is new in it."""
    found = NetworkBuilder.of(config(*words.split())).build_on_meta(10)
    return found.network, new_prefixes(found.network, found.slots)


def rates(network: Backbone, optim: Optim, new: tuple[str, ...]) -> dict[str, float]:
    """Name of each parameter -> its learning rate."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(parameter)]: group.get("lr", optim.lr)
        for group in parameter_groups(network, optim, new)
        for parameter in group["params"]
    }


@pytest.mark.parametrize("words", BY_HAND)
def test_depths_are_those_counted_by_hand(words: str) -> None:
    network, new = network_of(words)
    depths = depths_of(network)
    old = [name for name in depths if not name.startswith(new)]
    assert old
    assert {name: depths[name] for name in old} == {name: BY_HAND[words](name) for name in old}


@pytest.mark.parametrize(
    "words",
    [
        "attention=se",
        "attention=cbam placement.position=pre",
        "attention=se placement.stages=[2]",
    ],
)
def test_attention_moves_no_depth(words: str) -> None:
    """The rate of a layer must not depend on the arm."""
    plain = depths_of(network_of("model=resnet20")[0])
    depths = depths_of(network_of(f"model=resnet20 ratio=4 {words}")[0])
    assert {name: depths[name] for name in plain} == plain
    assert len(depths) > len(plain)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_depth_for_every_block_of_every_backbone(name: str) -> None:
    """They rise along the network, and each block has one of its own."""
    network, _ = network_of(f"model={name} data.image_size=32")
    depths = list(depths_of(network).values())
    assert depths == sorted(depths)
    blocks = [unit for units in network.by_stage().values() for unit in units]
    assert set(depths) == set(range(len(blocks) + 1))


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_the_rate_falls_from_the_head_down(factor: float) -> None:
    """Attention and the last layer have the whole of it; `backbone_lr_factor` is for the rest."""
    network, new = network_of("model=se_resnet20 ratio=4")
    optim = replace(DECAYED, backbone_lr_factor=factor)
    depth = in_layers([3, 3, 3])
    for name, rate in rates(network, optim, new).items():
        whole = ".attend." in name or name.startswith("fc.")
        assert rate == pytest.approx(0.1 if whole else 0.1 * factor * 0.5 ** (10 - depth(name)))


@pytest.mark.parametrize("name", ["resnet10t", "resnet26d", "regnetx_002"])
def test_rates_are_those_of_timm(name: str) -> None:
    """timm groups the parameters of its networks by patterns of its own."""
    with torch.device("meta"):
        plain = timm.create_model(name, num_classes=10)
    expected = {}
    for group in param_groups_layer_decay(plain, layer_decay=0.5):
        expected |= {id(parameter): group["lr_scale"] for parameter in group["params"]}
    network = weave(plain)
    new = new_prefixes(network, [])
    found = rates(network, DECAYED, new)
    scales = {n: expected[id(p)] for n, p in network.named_parameters()}
    assert len(set(scales.values())) > 4
    assert {n: 0.1 * s for n, s in scales.items()} == pytest.approx(found)


def test_every_parameter_is_in_one_group() -> None:
    """With its weight decay, vectors without."""
    network, new = network_of("model=se_resnet20 ratio=4")
    groups = parameter_groups(network, replace(DECAYED, decay_norm_and_bias=False), new)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(map(id, network.parameters()))
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    assert "lr" not in groups[0]  # the one that is logged has the whole rate


def test_without_it_the_groups_are_what_they_were() -> None:
    """One rate, or two."""
    network, new = network_of("model=se_resnet20 ratio=4")
    assert len(parameter_groups(network, OPTIM, new)) == 1
    two = parameter_groups(network, replace(OPTIM, backbone_lr_factor=0.3), new)
    assert [group.get("lr") for group in two] == [None, 0.1 * 0.3]


class Bare(nn.Module):
    """Two convolutions whose maps are added in the network's own code: no module is a block."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        return self.fc((x + self.two(x)).mean((2, 3)))


def test_a_network_without_blocks_is_refused() -> None:
    network = weave(Bare())
    insert(network, partial(ATTENTIONS["se"], ratio=2), Placement())
    with pytest.raises(InputError, match=r"choose optim\.layer_decay=1\.0"):
        depths_of(network)
