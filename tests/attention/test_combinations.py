"""Every attention at every position of every family: composed, built, counted, trained one step.

The small networks compute; of the large ones the meta device proves the shapes.
"""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from hydra import compose, initialize_config_dir
from support import CONF
from torch.nn import functional as F

from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.backbones.preact_resnet import PreActBasicBlock, he_cifar
from senet_train.config.options import bind
from senet_train.config.read import read_config
from senet_train.config.resolvers import register_resolvers
from senet_train.config.schema import Config
from senet_train.networks.cost import measure_cost
from senet_train.networks.insertion import build_network

NAMES = sorted(file.stem for file in (CONF / "attention").glob("*.yaml"))
POSITIONS = ["standard", "pre", "post", "identity", "inner", "stage"]
SMALL = {
    "resnet8": BACKBONES["resnet8"],
    "preact_resnet8": partial(he_cifar, block=PreActBasicBlock, blocks_per_stage=1),
}
LARGE = ["resnet18", "resnet50", "preact_resnet164", "wrn16_8"]
FAMILIES = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


@cache
def composed(*where: str) -> list[Config]:
    """One for each attention."""
    register_resolvers()
    common = ["data=fake", *where, "ratio=4"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [read_config(compose("config", [*common, f"attention={name}"])) for name in NAMES]


def configurations(model: str, position: str) -> list[Config]:
    """Every attention at this position of blocks that change the shape, and of some that do not."""
    small = ("placement.stages=[1,2]",)
    where = small if model in SMALL else (f"model={model}", "placement.stages=[3]")
    return [
        replace(config, placement=replace(config.placement, position=position))
        for config in composed(*where)
    ]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("model", FAMILIES)
def test_combination(model: str, position: str) -> None:
    device = "cpu" if model in SMALL else "meta"
    images = torch.randn(2, 3, 16, 16, device=device)
    labels = torch.tensor([0, 1], device=device)
    for config in configurations(model, position):
        chosen, _ = bind(config.model, BACKBONES, "model", "senet_train.backbone")
        backbone = SMALL.get(model, chosen)
        attention, _ = bind(config.attention, ATTENTIONS, "attention", "senet_train.attention")
        build = (backbone, attention, config.placement)
        with torch.device("meta"):
            counted, slots = build_network(*build, num_classes=10, seed=0)
            cost = measure_cost(counted, slots, 16)
        with torch.device(device):
            network, _ = build_network(*build, num_classes=10, seed=0)
        name = config.attention.name
        inside = [p for slot in slots for p in network.get_submodule(slot.name).parameters()]
        assert cost.attention_parameters == sum(p.numel() for p in inside), name
        assert (cost.attention_multiply_adds > 0) == (name != "none"), name
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        before = [parameter.detach().clone() for parameter in inside]
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(gradient is not None for gradient in gradients), name
        if device == "cpu":
            assert loss.isfinite(), name
            assert all(gradient.isfinite().all() for gradient in gradients), name
            moved = [not torch.equal(a, b) for a, b in zip(before, inside, strict=True)]
            assert any(moved) == bool(inside), name


def test_the_slots_of_a_combination_are_reached() -> None:
    """Negative control: a slot that forward passed over would leave its weights unmoved."""
    (config,) = (c for c in configurations("resnet8", "inner") if c.attention.name == "se")
    attention, _ = bind(config.attention, ATTENTIONS, "attention", "senet_train.attention")
    network, slots = build_network(
        BACKBONES["resnet8"],
        attention,
        replace(config.placement, stages=[2]),
        num_classes=10,
        seed=0,
    )
    block = network.get_submodule(slots[0].name.rpartition(".attend")[0])
    block.forward = block.downsample.forward
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    skipped = list(network.get_submodule(slots[0].name).parameters())
    assert all(parameter.grad is None for parameter in skipped)
