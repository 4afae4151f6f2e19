"""Where the slots of pre-activation blocks are, and what their dropout drops."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from senet_train.attention.controls import NoAttention
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.preact_resnet import PreActBasicBlock, PreActBottleneck
from senet_train.backbones.slots import POSITIONS
from senet_train.backbones.wide_resnet import Dropout, WideResNet
from senet_train.config.options import bind
from senet_train.config.schema import Choice, Placement
from senet_train.networks.insertion import build_network

BLOCKS = [PreActBasicBlock, PreActBottleneck]
Block = PreActBasicBlock | PreActBottleneck


class Scale(nn.Module):
    """An attention that is easily told from another."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def filled(block_type: type[Block], stride: int) -> Block:
    """A block with its own factor in every slot; stride 2 makes its shortcut a projection."""
    torch.manual_seed(3)
    block = block_type(8, 8 // block_type.expansion * stride, stride)
    for factor, position in enumerate(POSITIONS, start=2):
        block.attend[position] = Scale(factor)
    return block


def defined(block: Block, x: Tensor) -> dict[str, Tensor]:
    """What each slot must be given, by the definitions of the positions, and the block's output."""
    pre, inner, standard, identity, post = (block.attend[position] for position in POSITIONS)
    o = torch.relu(block.bn1(x))
    given = {"pre": o, "identity": x if block.projection is None else block.projection(o)}
    y = block.conv1(pre(o))
    last_norm, last_conv = block.bn2, block.conv2
    if isinstance(block, PreActBottleneck):
        y = block.conv2(torch.relu(block.bn2(y)))
        last_norm, last_conv = block.bn3, block.conv3
    given["inner"] = torch.relu(last_norm(y))
    given["standard"] = last_conv(inner(given["inner"]))
    given["post"] = standard(given["standard"]) + identity(given["identity"])
    return given | {"output": post(given["post"])}


def misplaced(block: Block, x: Tensor) -> set[str]:
    """The positions that are given something else than is defined."""
    expected = defined(block, x)
    seen: dict[str, Tensor] = {}
    for position in POSITIONS:
        block.attend[position].register_forward_hook(
            lambda _, inputs, __, position=position: seen.update({position: inputs[0]})
        )
    seen["output"] = block(x)
    return {name for name in expected if not torch.equal(seen[name], expected[name])}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("block_type", BLOCKS)
def test_every_slot_is_where_it_is_defined(block_type: type[Block], stride: int) -> None:
    block = filled(block_type, stride)
    assert (block.projection is None) == (stride == 1)
    assert misplaced(block, torch.randn(2, 8, 6, 6)) == set()


def pre_before_the_shortcut(block: Block, x: Tensor) -> Tensor:
    o = block.attend["pre"](torch.relu(block.bn1(x)))
    shortcut = block.attend["identity"](block.projection(o))
    y = block.attend["inner"](torch.relu(block.bn2(block.conv1(o))))
    return block.attend["post"](block.attend["standard"](block.conv2(y)) + shortcut)


def relu_after_the_addition(block: Block, x: Tensor) -> Tensor:
    o = torch.relu(block.bn1(x))
    shortcut = block.attend["identity"](block.projection(o))
    y = block.attend["inner"](torch.relu(block.bn2(block.conv1(block.attend["pre"](o)))))
    y = block.attend["standard"](block.conv2(y))
    return block.attend["post"](torch.relu(y + shortcut))


def standard_after_the_addition(block: Block, x: Tensor) -> Tensor:
    o = torch.relu(block.bn1(x))
    shortcut = block.attend["identity"](block.projection(o))
    y = block.attend["inner"](torch.relu(block.bn2(block.conv1(block.attend["pre"](o)))))
    return block.attend["post"](block.attend["standard"](block.conv2(y) + shortcut))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (pre_before_the_shortcut, {"identity", "post", "output"}),
        (relu_after_the_addition, {"post", "output"}),
        (standard_after_the_addition, {"standard", "post", "output"}),
    ],
)
def test_a_misplaced_slot_is_seen(
    wrong: Callable[[Block, Tensor], Tensor], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of the test above."""
    monkeypatch.setattr(PreActBasicBlock, "forward", wrong)
    assert misplaced(filled(PreActBasicBlock, 2), torch.randn(2, 8, 6, 6)) == expected


MIDDLE = {
    PreActBasicBlock: ["conv1", "bn2", "attend.inner", "conv2"],
    PreActBottleneck: ["conv1", "bn2", "conv2", "bn3", "attend.inner", "conv3"],
}


@pytest.mark.parametrize("block_type", BLOCKS)
def test_slots_run_in_order(block_type: type[Block]) -> None:
    """Hooks in order: `identity` after the projection, `post` last."""
    block = filled(block_type, 2)
    order: list[str] = []
    for name, module in block.named_modules():
        if name not in ("", "attend", "dropout"):
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    block(torch.randn(2, 8, 6, 6))
    start = ["bn1", "projection", "attend.identity", "attend.pre"]
    assert order == [*start, *MIDDLE[block_type], "attend.standard", "attend.post"]


@pytest.mark.parametrize("block_type", BLOCKS)
def test_standard_gates_the_branch_only(block_type: type[Block]) -> None:
    """With a gate of zero the block is its shortcut, negative values and all."""
    block = block_type(8, 8 // block_type.expansion, 1)
    block.attend["standard"] = Scale(0)
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x)


def kept(attention: Callable[[int], nn.Module]) -> list[Tensor]:
    """What each dropout of a small Wide ResNet makes of ones in one training step."""
    wide = partial(WideResNet, depth=10, widen=1, dropout=0.5)
    everywhere = Placement(stages="all", position="standard", min_channels=1)
    network, _ = build_network(wide, attention, everywhere, num_classes=10, seed=0)
    masks: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, Dropout):
            module.register_forward_pre_hook(lambda _, inputs: torch.ones_like(inputs[0]))
            module.register_forward_hook(lambda *arguments: masks.append(arguments[-1]))
    torch.manual_seed(1)  # as the classifier does at every step
    network.train()(torch.randn(2, 3, 8, 8))
    return masks


def test_dropout_is_paired_between_arms() -> None:
    plain, se = kept(NoAttention), kept(partial(SqueezeExcite, ratio=4))
    assert len(plain) == len(se) == 3
    assert all(map(torch.equal, plain, se))
    assert not torch.equal(plain[0], torch.ones_like(plain[0]))


def test_dropout_does_not_depend_on_the_memory_format() -> None:
    """Negative control: nn.Dropout draws in memory order."""
    x = torch.ones(2, 64, 8, 8)
    equal = {}
    for dropout in (Dropout(0.3), nn.Dropout(0.3)):
        torch.manual_seed(0)
        contiguous = dropout(x)
        torch.manual_seed(0)
        permuted = dropout(x.to(memory_format=torch.channels_last))
        equal[type(dropout)] = torch.equal(contiguous, permuted)
        assert contiguous.mean() == pytest.approx(1, abs=0.03)
        assert torch.equal(dropout.eval()(x), x)
    assert equal == {Dropout: True, nn.Dropout: False}


@pytest.mark.parametrize(("value", "blocks"), [(0, 0), (0.3, 6)])
def test_dropout_is_an_option(value: float, blocks: int) -> None:
    backbone, _ = bind(Choice("wrn16_8", {"dropout": value}), BACKBONES, "model", "none")
    with torch.device("meta"):
        found = [m for m in backbone(10).modules() if isinstance(m, Dropout)]
    assert [module.p for module in found] == [value] * blocks


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_dropout_that_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is out of range: choose 0 <= dropout < 1"):
        WideResNet(10, depth=10, widen=1, dropout=value)
