"""What attention modules share: the bottleneck's width, channel gates, the last activation."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelGate(nn.Module, ABC):
    """`x * excite(mean_hw(x))`; networks/kernels computes it in one function with its BatchNorm."""

    sees_only_means = True  # False where an option makes the gate look at more

    @abstractmethod
    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> factors (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        s = self.excite(x.mean((2, 3)))  # (B, C, H, W) -> (B, C)
        return x * s.to(x.dtype)[:, :, None, None]  # under autocast the map may be bfloat16


def hidden_channels(channels: int, ratio: int) -> int:
    """Exactly `channels // ratio`. Raises ValueError when that leaves no hidden channel.

    No rounding to a multiple of 8: at 64 channels it would make 8, 16 and 32 one network.
    """
    if ratio < 1:
        raise ValueError(f"ratio={ratio} is no reduction ratio: choose ratio >= 1")
    if ratio > channels:
        raise ValueError(
            f"ratio={ratio} leaves no hidden channel for a layer of {channels} channels: "
            f"choose ratio <= {channels}"
        )
    return channels // ratio


Gate = Callable[[Tensor], Tensor]  # elementwise


def open_sigmoid(s: Tensor) -> Tensor:
    """From 1 to 2."""
    return 1 + torch.sigmoid(s)


def twice_sigmoid(s: Tensor) -> Tensor:
    """From 0 to 2, 1 at 0."""
    return 2 * torch.sigmoid(s)


def twice_hardsigmoid(s: Tensor) -> Tensor:
    """From 0 to 2, 1 at 0."""
    return 2 * F.hardsigmoid(s)


def open_tanh(s: Tensor) -> Tensor:
    """From 0 to 2, 1 at 0."""
    return 1 + torch.tanh(s)


def open_relu(s: Tensor) -> Tensor:
    """From 0 up, 1 at 0."""
    return torch.relu(1 + s)


# The function without `identity`, and the one with it, which is 1 at 0.
GATES: dict[str, tuple[Gate, Gate]] = {
    "sigmoid": (torch.sigmoid, twice_sigmoid),
    "hardsigmoid": (F.hardsigmoid, twice_hardsigmoid),
    "tanh": (torch.tanh, open_tanh),
    "relu": (torch.relu, open_relu),
    "open": (open_sigmoid, twice_sigmoid),
}


def gate_behind(*last: nn.Module, gate: str = "sigmoid", identity: bool) -> Gate:
    """The activation after the layers `last`, whose parameters `identity` sets to zero."""
    plain, one_at_zero = GATES[gate]
    if not identity:
        return plain
    start_at_zero(*last)
    return one_at_zero


def start_at_zero(*layers: nn.Module) -> None:
    """Set every parameter of the layers to zero; no random number is drawn."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
