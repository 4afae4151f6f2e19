"""Cases for the tails of convolutions: maps, a norm, a gate; and whole networks of them."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from senet_train.attention import ATTENTIONS
from senet_train.backbones.slots import Backbone
from senet_train.backbones.tail import composed
from senet_train.config.options import keyword_options
from senet_train.config.schema import Placement
from senet_train.networks.insertion import build_network
from senet_train.networks.kernels.folded import can_fold

Build = Callable[[int], nn.Module]


def build_of(name: str) -> Build:
    """The attention, small enough for 7 channels."""
    constructor = ATTENTIONS[name]
    return partial(constructor, ratio=4) if "ratio" in keyword_options(constructor) else constructor


GATES = [name for name in ATTENTIONS if name != "none" and can_fold(build_of(name)(16))]
# Whole vectors of 16 channels and rests, odd maps, one pixel, one image.
SHAPES = [(5, 16, 4, 4), (3, 20, 3, 5), (4, 64, 1, 1), (1, 7, 7, 7), (2, 33, 2, 1)]


class Case:
    """Maps, a norm, a gate and an outer gradient, the same for both tails."""

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        gate: str = "none",
        *,
        dtype: torch.dtype = torch.float64,
        shortcut: bool = True,
        relu: bool = True,
        training: bool = True,
    ) -> None:
        random = torch.Generator().manual_seed(sum(shape))
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self.relu, self.dtype, channels = relu, dtype, shape[1]
        self.norm = nn.BatchNorm2d(channels, dtype=wide).train(training)
        self.attention = build_of(gate)(channels).to(wide)
        with torch.no_grad():
            for tensor in (self.norm.weight, self.norm.running_var):
                tensor.uniform_(0.5, 1.5, generator=random)
            for tensor in (self.norm.bias, *self.attention.parameters()):
                tensor.normal_(generator=random)

        def maps() -> Tensor:
            made = torch.randn(shape, generator=random, dtype=torch.float64)
            return made.to(dtype).contiguous(memory_format=torch.channels_last)

        self.y, self.dout = 3 + 2 * maps(), maps()
        self.shortcut = maps() if shortcut else None

    def wide(self) -> "Case":
        """The same numbers in float64."""
        other = copy.deepcopy(self)
        other.dtype = torch.float64
        other.norm, other.attention = other.norm.double(), other.attention.double()
        other.y, other.dout = other.y.double(), other.dout.double()
        other.shortcut = None if other.shortcut is None else other.shortcut.double()
        return other

    def results(self, tail: Callable[..., Tensor]) -> dict[str, Tensor]:
        """The output, every gradient, and the norm's running statistics."""
        norm, attention = copy.deepcopy(self.norm), copy.deepcopy(self.attention)
        y = self.y.clone().requires_grad_()
        shortcut = None if self.shortcut is None else self.shortcut.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            out = tail(y, norm, attention, shortcut, relu=self.relu)
        out.backward(self.dout)
        found = {"out": out.detach(), "y": y.grad, **dict(norm.named_buffers())}
        found |= {f"norm.{name}": p.grad for name, p in norm.named_parameters()}
        found |= {f"gate.{name}": p.grad for name, p in attention.named_parameters()}
        return found | ({} if shortcut is None else {"shortcut": shortcut.grad})


def assert_close(found: dict[str, Tensor], true: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == true.keys()
    for name, value in true.items():
        scale = max(value.double().abs().max().item(), 1e-3)
        error = (found[name].double() - value.double()).abs().max().item()
        assert error <= tolerance * scale, (name, error, scale)


def small(backbone: Callable[[int], Backbone], attention: str) -> Backbone:
    placement = Placement(stages="all", position="standard", min_channels=1)
    network, _ = build_network(
        partial(backbone), build_of(attention), placement, num_classes=10, seed=0
    )
    return network.double().to(memory_format=torch.channels_last)


def assert_same_training(ours: Backbone, theirs: Backbone, *, passes: int) -> None:
    """The logits and the gradients of both, after so many passes over the same images."""
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    images = images.contiguous(memory_format=torch.channels_last)
    for _ in range(passes):
        logits = [network(images) for network in (ours, theirs)]
        for each in logits:
            each.square().sum().backward()
    torch.testing.assert_close(*logits, rtol=1e-9, atol=1e-9)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        scale = other.grad.abs().max()  # type: ignore[union-attr]
        assert (mine.grad - other.grad).abs().max() <= 1e-8 * scale, name  # type: ignore[operator]


def assert_no_less_exact(case: Case, tail: Callable[..., Tensor], *, factor: float) -> None:
    """Against float64, `factor` times the modules' error at most.

    By the mean over elements, for a rounded sum may cross the ReLU's 0.
    """
    true = case.wide().results(composed)
    ours, theirs = case.results(tail), case.results(composed)
    for name, value in true.items():
        own, other = ((found[name].double() - value).abs().mean() for found in (ours, theirs))
        assert own <= factor * other + 1e-6 * value.abs().max(), (name, own, other)


def watched(
    function: type[torch.autograd.Function], position: int, seen: list[Tensor]
) -> type[torch.autograd.Function]:
    """The function, noting its argument at this position whenever it is called."""

    class Watched(function):  # type: ignore[misc, valid-type]
        @staticmethod
        def forward(ctx: object, *arguments: object) -> Tensor:
            seen.append(arguments[position])  # type: ignore[arg-type]
            out: Tensor = function.forward(ctx, *arguments)
            return out

    return Watched
