"""The factor by which an attention layer scales each channel of each image, seen from outside.

    s_bc = sum_hw(x_bc y_bc) / sum_hw(x_bc^2),    x the layer's input, y its output

The least-squares factor: where y = s x, a gate over channels, it is s itself, whatever the module
is called. Of a gate over pixels it is the mean that the map's energy gives; of an addition, what
that adds along the map. A map that is zero everywhere has no factor: `seen` is 0 there.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from senet_train.networks.insertion import Slot

Seen = Callable[[str, Tensor, Tensor], None]  # a layer's name, its input and its output


def factors(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) twice -> factors and `seen`, (B, C) float64; both 0 for an empty map."""
    x, y = x.double(), y.double()
    energy = x.square().sum((2, 3))  # (B, C, H, W) -> (B, C)
    seen = energy > 0
    s = (x * y).sum((2, 3)) / energy.where(seen, 1.0)
    return s, seen.double()


def pixel_factors(x: Tensor, y: Tensor) -> Tensor:
    """The same over the channels of a pixel: (B, C, H, W) twice -> (B, H, W); 1 where x is 0."""
    energy = x.square().sum(1)  # (B, C, H, W) -> (B, H, W)
    s = (x * y).sum(1) / energy.where(energy > 0, 1.0)
    return s.where(energy > 0, 1.0)


def energies(x: Tensor, y: Tensor, s: Tensor) -> tuple[float, float]:
    """Of the output: what no factor (B, C) a channel explains, and all; 0 and all of a gate."""
    rest = y.double() - s[:, :, None, None] * x.double()
    return float(rest.square().sum()), float(y.double().square().sum())


@contextmanager
def watched(model: nn.Module, slots: Iterable[Slot], see: Seen) -> Iterator[None]:
    """For the block, `see` is called at every forward pass of every attention layer."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda module, inputs, output: see(name, inputs[0], output)

    handles = [
        model.get_submodule(slot.name).register_forward_hook(hook(slot.name)) for slot in slots
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
