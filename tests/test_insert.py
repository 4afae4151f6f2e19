"""Pairing: with one seed, arms share every weight they have in common."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from senet_train.attention import NoAttention, SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.resnet import BasicBlock, Bottleneck
from senet_train.backbones.slots import POSITIONS
from senet_train.config import Placement
from senet_train.errors import InputError
from senet_train.insert import build_network

EVERYWHERE = Placement(stages="all", position="standard")
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
    late = state(RESNET20, SE, placement=Placement(stages=[3], position="standard"))
    assert different(everywhere, late) == []
    slots = {name for name in late if ".attend." in name}
    assert len(slots) == 6
    assert slots < {name for name in everywhere if ".attend." in name}


def test_missing_stage() -> None:
    with pytest.raises(InputError, match=r"stages=\[4\]: the network has stages \[1, 2, 3\]"):
        state(RESNET20, SE, placement=Placement(stages=[4], position="standard"))


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
