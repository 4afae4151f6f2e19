"""The folded tail against torch's own modules, one after the other."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from support import needs_compiler
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
from torch import Tensor, nn

from senet_train.attention import ATTENTIONS
from senet_train.attention.gate import ChannelGate
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones.cifar_resnet import resnet20
from senet_train.backbones.resnet import Bottleneck, ResNet
from senet_train.backbones.slots import Backbone
from senet_train.backbones.tail import composed
from senet_train.networks.kernels import folded as folded_module
from senet_train.networks.kernels import passes
from senet_train.networks.kernels.folded import Fold, can_fold, fits, folded
from senet_train.networks.kernels.joined import joined


def test_gates_that_fold() -> None:
    assert {"se", "ese", "eca", "static", "shuffled", "ge"} <= set(GATES)
    assert not can_fold(ATTENTIONS["se"](16, squeeze="max"))
    assert not can_fold(ATTENTIONS["ge"](16, extent=2))
    assert not can_fold(ATTENTIONS["cbam"](16))


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The maps that went through the fold: without it the tests would compare like with like."""
    seen: list[Tensor] = []
    monkeypatch.setattr(folded_module, "Fold", watched(Fold, 3, seen))
    return seen


@needs_compiler
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("gate", ["none", *GATES])
def test_equals_the_modules_in_float64(
    gate: str, shortcut: bool, relu: bool, training: bool, folds: list[Tensor]
) -> None:
    for shape in SHAPES:
        if shape[1] < 16 and gate not in ("none", "se", "eca"):
            continue  # narrower than the gate takes
        case = Case(shape, gate, shortcut=shortcut, relu=relu, training=training)
        assert_close(case.results(folded), case.results(composed), 1e-12)
    assert folds


@needs_compiler
def test_the_comparison_can_fail() -> None:
    case = Case((5, 16, 4, 4), "se")
    other = copy.deepcopy(case)
    other.attention.expand.weight.data *= 1.001  # type: ignore[union-attr, operator]
    with pytest.raises(AssertionError):
        assert_close(case.results(folded), other.results(composed), 1e-12)


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gate", ["none", "se", "eca", "static"])
def test_no_less_exact_than_the_modules(gate: str, dtype: torch.dtype) -> None:
    case = Case((16, 32, 8, 8), gate, dtype=dtype)
    assert_no_less_exact(case, folded, factor=1.2)


@needs_compiler
def test_frozen_parameters_stay_frozen() -> None:
    case = Case((5, 16, 4, 4), "se")
    for parameter in (case.norm.weight, *case.attention.parameters()):
        parameter.requires_grad_(False)
    y = case.y.clone().requires_grad_()
    folded(y, case.norm, case.attention, case.shortcut).backward(case.dout)
    assert y.grad is not None
    assert case.norm.bias.grad is not None
    assert case.norm.weight.grad is None
    assert all(parameter.grad is None for parameter in case.attention.parameters())


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [8, 112])
def test_an_odd_first_pixel_costs_no_digits(side: int, dtype: torch.dtype) -> None:
    """Padding makes corners unlike the rest; the variance must not be what rounding left."""
    noise = torch.randn(2, 16, side, side)
    for maps in (noise, 3 + 0.25 * noise, torch.full_like(noise, 5.25)):
        y = maps.to(dtype).contiguous(memory_format=torch.channels_last)
        y[:, :, 0, 0] = 10
        mean, variance = passes.moments(y)
        true = y.double().flatten(2)
        torch.testing.assert_close(mean.double(), true.mean(2), rtol=1e-6, atol=1e-5)
        found = true.var(2, correction=0)
        torch.testing.assert_close(variance.double(), found, rtol=1e-4, atol=1e-5)


class Twice(SqueezeExcite):
    """Another network: `forward` is no longer x * excite."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class OneForAll(ChannelGate):
    """A gate of a shape that broadcasts, in half the digits."""

    def excite(self, z: Tensor) -> Tensor:
        return torch.linspace(0, 1, z.shape[1], dtype=torch.float32)[None]


@needs_compiler
@pytest.mark.parametrize("tail", [folded, joined])
@pytest.mark.parametrize("attention", [Twice(16), OneForAll()])
def test_gates_of_others(tail: Callable[..., Tensor], attention: nn.Module) -> None:
    """From entry points: whatever they compute is what comes out."""
    case = Case((5, 16, 4, 4))
    case.attention = attention.double()
    assert_close(case.results(tail), case.results(composed), 1e-7)


@needs_compiler
@pytest.mark.parametrize("tail", [folded, joined])
def test_hooks_are_called(tail: Callable[..., Tensor]) -> None:
    case, calls = Case((5, 16, 4, 4), "se"), []
    case.norm.register_forward_hook(lambda *arguments: calls.append("norm"))
    case.attention.register_forward_hook(lambda *arguments: calls.append("gate"))
    tail(case.y, case.norm, case.attention, case.shortcut)
    assert calls == ["norm", "gate"]


@needs_compiler
@pytest.mark.parametrize("tail", [folded, joined])
def test_a_parameters_hook_is_called_once(tail: Callable[..., Tensor]) -> None:
    gradients = []
    for compute in (tail, composed):
        case = Case((5, 16, 4, 4), "se")
        weight = case.attention.expand.weight
        weight.register_hook(lambda gradient: 2 * gradient)
        compute(case.y, case.norm, case.attention, case.shortcut).backward(case.dout)
        gradients.append(weight.grad)
    torch.testing.assert_close(*gradients)


@needs_compiler
@pytest.mark.parametrize("tail", [folded, joined])
def test_a_frozen_gate_that_does_not_look(tail: Callable[..., Tensor]) -> None:
    """Nothing in it has a gradient."""
    case = Case((5, 16, 4, 4), "static")
    case.attention.requires_grad_(False)
    gradients = []
    for compute in (tail, composed):
        y = case.y.clone().requires_grad_()
        norm = copy.deepcopy(case.norm)
        compute(y, norm, case.attention, case.shortcut).backward(case.dout)
        gradients.append(y.grad)
    torch.testing.assert_close(*gradients)


@needs_compiler
@pytest.mark.parametrize("tail", [folded, joined])
def test_backward_twice(tail: Callable[..., Tensor]) -> None:
    """With the graph retained, gradients add up."""
    case = Case((5, 16, 4, 4), "se")
    y = case.y.clone().requires_grad_()
    out = tail(y, case.norm, case.attention, case.shortcut)
    out.backward(case.dout, retain_graph=True)
    once = y.grad.clone()  # type: ignore[union-attr]
    out.backward(case.dout)
    torch.testing.assert_close(y.grad, 2 * once)


@needs_compiler
def test_threads_change_no_bit() -> None:
    case = Case((7, 48, 5, 5), "se", dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = case.results(folded)
        torch.set_num_threads(3)
        three = case.results(folded)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one[name], three[name]) for name in one)


@needs_compiler
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_is_not_hidden(bad: float, dtype: torch.dtype) -> None:
    """A run that diverges must be seen to."""
    for tail in (folded, composed):
        case = Case((4, 16, 3, 3), dtype=dtype)
        case.y[0, 0, 0, 0] = bad
        assert tail(case.y, case.norm, None, case.shortcut).isnan().any()


@needs_compiler
def test_what_does_not_fit_is_composed(folds: list[Tensor]) -> None:
    """Exactly as the modules give it."""
    rows = Case((4, 16, 3, 3), "se")
    rows.y = rows.y.contiguous()  # channels first
    cumulative = Case((4, 16, 3, 3), "se")
    cumulative.norm.momentum = None
    spatial = Case((4, 16, 3, 3), "cbam")
    half = Case((4, 16, 3, 3), dtype=torch.float16)
    shortcut = Case((4, 16, 3, 3), dtype=torch.float32)
    shortcut.shortcut = torch.ones(4, 16, 1, 1).expand(4, 16, 3, 3)
    narrow = Case((4, 16, 3, 3), dtype=torch.bfloat16)
    narrow.norm = narrow.norm.bfloat16()
    for case in (rows, cumulative, spatial, half, shortcut, narrow):
        ours, theirs = case.results(folded), case.results(composed)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not folds


def test_only_tables_without_gaps_are_read() -> None:
    case = Case((4, 16, 3, 3))
    assert fits(case.y, case.norm)
    case.norm.weight = nn.Parameter(torch.rand(16, 2, dtype=torch.float64)[:, 0])
    assert not fits(case.y, case.norm)


@needs_compiler
def test_a_norm_for_other_channels_is_refused_in_torchs_words() -> None:
    case = Case((4, 16, 3, 3))
    with pytest.raises(RuntimeError, match="should contain 16 elements"):
        folded(case.y, nn.BatchNorm2d(8).double(), None, case.shortcut)


@needs_compiler
def test_statistics_may_move_before_the_backward_pass() -> None:
    """An average of the weights, or another forward pass."""
    gradients = []
    for moved in (0.0, 3.0):
        case = Case((5, 16, 4, 4), "se", training=False)
        out = folded(case.y, case.norm, case.attention, case.shortcut)
        case.norm.running_mean.add_(moved)  # type: ignore[union-attr]
        out.backward(case.dout)
        gradients.append(case.norm.weight.grad)
    torch.testing.assert_close(*gradients)


@needs_compiler
def test_one_value_a_channel_is_refused_in_torchs_words() -> None:
    case = Case((1, 16, 1, 1))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        folded(case.y, case.norm, None, case.shortcut)


# Blocks with and without a shortcut's projection.
bottlenecks = partial(ResNet, block=Bottleneck, depths=(2, 1, 1, 1))


@needs_compiler
@pytest.mark.parametrize("attention", ["none", "se"])
@pytest.mark.parametrize("backbone", [resnet20, bottlenecks])
def test_whole_networks(
    backbone: Callable[[int], Backbone], attention: str, folds: list[Tensor]
) -> None:
    """Logits, gradients and running statistics, and the same state dict."""
    ours, theirs = small(backbone, attention), small(backbone, attention)
    ours.use_tail(folded)
    assert_same_training(ours, theirs, passes=2)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-9, atol=1e-9)
    every_norm = sum(isinstance(m, nn.BatchNorm2d) for m in ours.modules())
    shortcuts = sum(name.endswith("downsample.1") for name, _ in ours.named_modules())
    assert len(folds) == 2 * (every_norm - shortcuts)
