"""Pairing: with one seed, arms share every weight they have in common."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from senet_train.attention.controls import NoAttention
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.resnet import BasicBlock, Bottleneck
from senet_train.backbones.slots import POSITIONS
from senet_train.config.schema import Placement
from senet_train.errors import InputError
from senet_train.networks.insertion import build_network, canonical_placement

EVERYWHERE = Placement(stages="all", position="standard", min_channels=1)
SE = partial(SqueezeExcite, ratio=16)
RESNET18 = partial(BACKBONES["resnet18"], stem="cifar")
RESNET20 = BACKBONES["resnet20"]


def state(backbone, attention, *, seed: int = 0, placement: Placement = EVERYWHERE):
    network, _ = build_network(backbone, attention, placement, num_classes=10, seed=seed)
    return network.state_dict()


def different(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    """The names of shared floating tensors that are not equal bit for bit."""
    shared = first.keys() & second.keys()
    return sorted(name for name in shared if not torch.equal(first[name], second[name]))


def test_backbones_are_equal_bit_for_bit() -> None:
    plain, se = state(RESNET18, NoAttention), state(RESNET18, SE)
    assert len(plain) == 122
    assert plain.keys() < se.keys()
    assert different(plain, se) == []
    assert all(".attend." in name for name in se.keys() - plain.keys())


def test_naive_construction_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: attention built inside the blocks, as elsewhere, unpairs the arms."""
    torch.manual_seed(0)
    plain = RESNET18(10).state_dict()
    built = BasicBlock.__init__

    def with_attention(block: BasicBlock, *arguments) -> None:
        built(block, *arguments)
        block.attend["standard"] = SqueezeExcite(block.slot_channels["standard"])

    monkeypatch.setattr(BasicBlock, "__init__", with_attention)
    torch.manual_seed(0)
    naive = RESNET18(10).state_dict()
    weights = [name for name, tensor in plain.items() if tensor.ndim > 1]
    assert len(weights) == 21
    assert len(set(different(plain, naive)) & set(weights)) >= 18


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    state(RESNET20, SE)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_differ_and_repeat() -> None:
    assert different(state(RESNET20, SE), state(RESNET20, SE)) == []
    weights = [n for n, t in state(RESNET20, SE).items() if t.ndim > 1]
    unequal = different(state(RESNET20, SE, seed=0), state(RESNET20, SE, seed=1))
    assert set(weights) <= set(unequal)


def test_shared_slots_share_weights() -> None:
    everywhere = state(RESNET20, SE)
    late = state(RESNET20, SE, placement=Placement(stages=[3], position="standard", min_channels=1))
    assert different(everywhere, late) == []
    slots = {name for name in late if ".attend." in name}
    assert len(slots) == 6
    assert slots < {name for name in everywhere if ".attend." in name}


# Added to ResNet-50 by SE with r = 16, from the paper's tables 13 and 15 to the unit.
RESNET50 = {
    (1,): 25_557_032 + 24_576,
    (2,): 25_557_032 + 131_072,
    (3,): 25_557_032 + 786_432,
    (4,): 25_557_032 + 1_572_864,
    "all": 28_071_976,
    "but_last": 25_557_032 + 942_080,
}


def meta_parameters(attention, placement: Placement, name: str = "resnet50") -> int:
    backbone = partial(BACKBONES[name], stem="imagenet")
    with torch.device("meta"):
        network, _ = build_network(backbone, attention, placement, num_classes=1000, seed=0)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("stages", RESNET50)
def test_stages_cost_what_the_paper_says(stages) -> None:
    asked = stages if isinstance(stages, str) else list(stages)
    assert meta_parameters(SE, replace(EVERYWHERE, stages=asked)) == RESNET50[stages]


# Channels each position gates, block by block: SE with r = 16 has 2 C^2 / 16 weights there.
CHANNELS = {
    "standard": [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3,
    "identity": [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3,
    "post": [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3,
    "pre": [64] + [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 2,
    "inner": [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3,
    "stage": [256, 512, 1024, 2048],
}


@pytest.mark.parametrize("position", CHANNELS)
def test_positions_cost_their_closed_form(position: str) -> None:
    expected = sum(2 * c * (c // 16) for c in CHANNELS[position])
    placed = meta_parameters(SE, replace(EVERYWHERE, position=position))
    assert placed - 25_557_032 == expected
    if position == "inner":
        assert expected == 157_184  # the paper's table 15


def test_se_of_every_ratio_costs_what_the_paper_says() -> None:
    """Table 10, exact: 45.7 M, 35.7 M, 30.7 M, 28.1 M, 26.9 M in the paper's rounding."""
    exact = {2: 45_676_584, 4: 35_616_808, 8: 30_586_920, 16: 28_071_976, 32: 26_814_504}
    for ratio, expected in exact.items():
        assert meta_parameters(partial(SqueezeExcite, ratio=ratio), EVERYWHERE) == expected


def test_stage_is_the_last_blocks_post() -> None:
    """So an arm with `stage` shares its weights with one that has `post` everywhere."""
    stage = state(RESNET20, SE, placement=replace(EVERYWHERE, position="stage"))
    post = state(RESNET20, SE, placement=replace(EVERYWHERE, position="post"))
    filled = {name for name in stage if ".attend." in name}
    assert {name.split(".attend")[0] for name in filled} == {"layer1.2", "layer2.2", "layer3.2"}
    assert filled < post.keys()
    assert different(stage, post) == []


def test_min_channels() -> None:
    wide = state(RESNET20, SE, placement=replace(EVERYWHERE, min_channels=17))
    assert {name.split(".")[0] for name in wide if ".attend." in name} == {"layer2", "layer3"}
    with pytest.raises(InputError, match=r"min_channels=65 leaves no layer: .* <= 64"):
        state(RESNET20, SE, placement=replace(EVERYWHERE, min_channels=65))


def test_a_placement_is_written_in_one_way() -> None:
    network = RESNET20(10)
    for same in ("all", [1, 2, 3], [3, 2, 1, 1]):
        assert canonical_placement(network, replace(EVERYWHERE, stages=same)).stages == [1, 2, 3]
    assert canonical_placement(network, replace(EVERYWHERE, stages="but_last")).stages == [1, 2]
    for given, written in ((1, 1), (16, 1), (17, 32), (32, 32), (33, 64)):
        kept = canonical_placement(network, replace(EVERYWHERE, min_channels=given))
        assert kept.min_channels == written


def test_missing_stage() -> None:
    with pytest.raises(InputError, match=r"stages=\[4\]: the network has stages \[1, 2, 3\]"):
        state(RESNET20, SE, placement=Placement(stages=[4], position="standard", min_channels=1))


@pytest.mark.parametrize("block_type", [BasicBlock, Bottleneck])
def test_slots_run_in_the_order_the_paper_draws(block_type) -> None:
    """Hooks in order: `standard` after the last BatchNorm, on the branch, before the addition."""
    out = 16 * block_type.expansion
    block = block_type(out, 16, 1, nn.Identity())
    order: list[str] = []
    for name, module in block.named_modules():
        if name and name != "attend":
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    last = "2" if block_type is BasicBlock else "3"
    block(torch.randn(2, out, 4, 4))
    inner_after = "bn1" if block_type is BasicBlock else "bn2"
    assert order[:3] == ["downsample", "attend.identity", "attend.pre"]
    assert order.index("attend.inner") == order.index(inner_after) + 1
    assert order[-3:] == [f"bn{last}", "attend.standard", "attend.post"]
    assert set(block.attend) == set(POSITIONS)


def test_standard_gates_the_branch_only() -> None:
    """With a gate of zero the block is its shortcut: `standard` acts before the addition."""
    block = BasicBlock(16, 16, 1, nn.Identity())

    class Closed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x

    block.attend["standard"] = Closed()
    x = torch.rand(2, 16, 4, 4)
    assert torch.equal(block(x), x)
