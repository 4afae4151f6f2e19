"""Gate, addition and ReLU joined in torch's own operations, against torch's own modules."""

from collections.abc import Callable

import pytest
import torch
from tail_cases import (
    GATES,
    SHAPES,
    Case,
    assert_close,
    assert_no_less_exact,
    assert_same_training,
    small,
    watched,
)
from torch import Tensor

from senet_train.backbones.cifar_resnet import resnet20
from senet_train.backbones.resnet import resnet50
from senet_train.backbones.slots import Backbone
from senet_train.backbones.tail import composed
from senet_train.cli import main
from senet_train.networks.kernels import joined as joined_module
from senet_train.networks.kernels.joined import Join, joined


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The maps that were joined: without it the tests would compare like with like."""
    seen: list[Tensor] = []
    monkeypatch.setattr(joined_module, "Join", watched(Join, 1, seen))
    return seen


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gate", GATES)
def test_equals_the_modules_in_float64(gate: str, training: bool, joins: list[Tensor]) -> None:
    wide = [shape for shape in SHAPES if shape[1] >= 16 or gate in ("se", "eca")]
    for shape in wide:
        case = Case(shape, gate, training=training)
        assert_close(case.results(joined), case.results(composed), 1e-12)
    assert len(joins) == len(wide)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gate", ["se", "eca", "static"])
def test_no_less_exact_than_the_modules(gate: str, dtype: torch.dtype) -> None:
    """eca's weight has three numbers: luck is a factor."""
    case = Case((16, 32, 8, 8), gate, dtype=dtype)
    assert_no_less_exact(case, joined, factor=2)


def test_frozen_parameters_stay_frozen() -> None:
    case = Case((5, 16, 4, 4), "se")
    case.attention.requires_grad_(False)
    y = case.y.clone().requires_grad_()
    joined(y, case.norm, case.attention, case.shortcut).backward(case.dout)
    assert y.grad is not None
    assert all(parameter.grad is None for parameter in case.attention.parameters())


def test_what_does_not_fit_is_composed(joins: list[Tensor]) -> None:
    """Exactly as the modules give it."""
    rows = Case((4, 16, 3, 3), "se")
    rows.y = rows.y.contiguous()  # channels first
    shortcut = Case((4, 16, 3, 3), "se", dtype=torch.float32)
    shortcut.shortcut = torch.ones(4, 16, 1, 1).expand(4, 16, 3, 3)
    cases = [
        rows,
        shortcut,
        Case((4, 16, 3, 3), "cbam"),
        Case((4, 16, 3, 3)),
        Case((4, 16, 3, 3), "se", shortcut=False),
        Case((4, 16, 3, 3), "se", relu=False),
    ]
    for case in cases:
        ours, theirs = case.results(joined), case.results(composed)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not joins


@pytest.mark.parametrize("backbone", [resnet20, resnet50])
def test_whole_networks(backbone: Callable[[int], Backbone], joins: list[Tensor]) -> None:
    ours, theirs = small(backbone, "se"), small(backbone, "se")
    ours.use_tail(joined)
    assert_same_training(ours, theirs, passes=1)
    assert len(joins) == sum(len(blocks) for blocks in ours.by_stage().values())


def test_only_for_channels_last_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["data=fake", "trainer.channels_last=false", "trainer.accelerator=cpu", "dry_run=true"]
    for kernel in ("joined", "folded"):
        assert main([*argv, f"trainer.kernel={kernel}"]) == 2
        assert f"trainer.kernel={kernel} is for channels-last" in capsys.readouterr().err
    assert main(argv) == 0
