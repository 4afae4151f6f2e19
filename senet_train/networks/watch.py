"""The gate of an attention layer for each channel of each image, from its input and output alone.

    s_bc = sum_hw(x_bc y_bc) / sum_hw(x_bc^2),    x the layer's input, y its output

The factor of least squares: where y = s x, a gate over channels, it is s itself, whatever the
module. For a gate over pixels it is their mean, weighted by x^2; for an added term, what that adds
along x. A map that is zero everywhere has no gate: `nonzero` is 0 there.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from senet_train.networks.insertion import Slot

OnForward = Callable[[str, Tensor, Tensor], None]  # a layer's name, its input and its output


def channel_gates(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) twice -> gates and `nonzero`, (B, C); both are 0 for a map of zeros.

    They are float64 on a CPU, and float32 elsewhere.
    """
    x, y = widened(x), widened(y)
    energy = x.square().sum((2, 3))  # (B, C, H, W) -> (B, C)
    nonzero = energy > 0
    s = (x * y).sum((2, 3)) / energy.where(nonzero, 1.0)
    return s, nonzero.to(s.dtype)


def widened(x: Tensor) -> Tensor:
    """In float64 on a CPU; Apple's GPUs have none, and on NVIDIA's it is up to 64 times slower."""
    return x.double() if x.device.type == "cpu" else x.float()


def pixel_gates(x: Tensor, y: Tensor) -> Tensor:
    """The same for each pixel, over channels: (B, C, H, W) twice -> (B, H, W); 1 where x is 0."""
    energy = x.square().sum(1)  # (B, C, H, W) -> (B, H, W)
    s = (x * y).sum(1) / energy.where(energy > 0, 1.0)
    return s.where(energy > 0, 1.0)


def unexplained_energy(x: Tensor, y: Tensor, s: Tensor) -> tuple[float, float]:
    """The sum of (y - s x)^2 and that of y^2: the first is 0 if the layer gates channels by s."""
    x, y = widened(x), widened(y)
    rest = y - s[:, :, None, None] * x
    return float(rest.square().sum()), float(y.square().sum())


@contextmanager
def watched(model: nn.Module, slots: Iterable[Slot], on_forward: OnForward) -> Iterator[None]:
    """Call `on_forward` after every forward pass of every attention layer inside the block."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda module, inputs, output: on_forward(name, inputs[0], output)

    handles = [
        model.get_submodule(slot.name).register_forward_hook(hook(slot.name)) for slot in slots
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
