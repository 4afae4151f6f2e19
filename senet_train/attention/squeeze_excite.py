"""Squeeze-and-Excitation: rescale each channel by a gate computed from its global average.

    s = sigmoid(W2 relu(W1 mean_hw(x))),    y = s * x

Hu et al., "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507, equations 2-4;
the other squeezes and gates are those of its tables 11, 12 and 16.
Parameters: 2 C R, and C + R more with bias (equation 5 of the paper leaves the bias out).

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from senet_train.attention.gate import ChannelGate, gate_behind, hidden_channels


def average(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 1, 1)."""
    return x.mean((2, 3), keepdim=True)


def maximum(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 1, 1)."""
    return x.amax((2, 3), keepdim=True)


def average_and_maximum(x: Tensor) -> Tensor:
    """Half of each: (B, C, H, W) -> (B, C, 1, 1)."""
    return (average(x) + maximum(x)) / 2


def no_squeeze(x: Tensor) -> Tensor:
    """The paper's NoSqueeze: both layers act on every pixel of (B, C, H, W)."""
    return x


SQUEEZES = {
    "avg": average,
    "max": maximum,
    "avg_max": average_and_maximum,
    "none": no_squeeze,
}


class SqueezeExcite(ChannelGate):
    """Channel attention: `x * sigmoid(W2 relu(W1 mean_hw(x)))`.

    `hidden` is the width of the bottleneck, exactly `channels // ratio`. With `identity` it starts
    as the identity, and the gate has the range that gate.py gives: 0 to 2 for sigmoid.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: int = 16,
        bias: bool = False,
        squeeze: Literal["avg", "max", "avg_max", "none"] = "avg",
        gate: Literal["sigmoid", "tanh", "relu", "hardsigmoid"] = "sigmoid",
        identity: bool = False,
    ) -> None:
        super().__init__()
        self.hidden = hidden_channels(channels, ratio)
        self.squeeze = SQUEEZES[squeeze]
        self.sees_only_means = squeeze == "avg"
        self.reduce = nn.Linear(channels, self.hidden, bias=bias)
        self.expand = nn.Linear(self.hidden, channels, bias=bias)
        self.activation = gate_behind(self.expand, gate=gate, identity=identity)

    def excite(self, z: Tensor) -> Tensor:
        """Squeezed channels (B, ..., C) -> factors (B, ..., C)."""
        return self.activation(self.expand(torch.relu(self.reduce(z))))

    def forward(self, x: Tensor) -> Tensor:
        """Rescale `x`, (B, C, H, W) -> (B, C, H, W)."""
        z = self.squeeze(x).movedim(1, -1)  # (B, C, 1, 1) -> (B, 1, 1, C)
        return x * self.excite(z).movedim(-1, 1)  # (B, 1, 1, C) -> (B, C, 1, 1)
