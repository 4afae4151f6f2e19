"""Squeeze-and-Excitation: rescale each channel by a gate computed from its global average.

    s = sigmoid(W2 relu(W1 mean_hw(x))),    y = s * x

Hu et al., "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507, equations 2-4.
Parameters: 2 C R, and C + R more with bias (equation 5 of the paper leaves the bias out).

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Channel attention: `x * sigmoid(W2 relu(W1 mean_hw(x)))`.

    `hidden` is the width of the bottleneck, exactly `channels // ratio`.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(self, channels: int, *, ratio: int = 16, bias: bool = False) -> None:
        super().__init__()
        if ratio < 1:
            raise ValueError(f"ratio={ratio} is no reduction ratio: choose ratio >= 1")
        # No rounding to a multiple of 8: at 64 channels it would make 8, 16 and 32 one network.
        self.hidden = channels // ratio
        if self.hidden < 1:
            raise ValueError(
                f"ratio={ratio} leaves no hidden channel for a layer of {channels} channels: "
                f"choose ratio <= {channels}"
            )
        self.reduce = nn.Linear(channels, self.hidden, bias=bias)
        self.expand = nn.Linear(self.hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Rescale `x`, (B, C, H, W) -> (B, C, H, W); gates are in (0, 1)."""
        s = x.mean((2, 3))  # (B, C, H, W) -> (B, C)
        s = self.expand(torch.relu(self.reduce(s)))  # (B, C) -> (B, R) -> (B, C)
        return x * torch.sigmoid(s)[:, :, None, None]
