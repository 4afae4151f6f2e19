"""Concurrent spatial and channel SE: a gate for channels and one for pixels, joined.

    y = max(s_c(x) * x, sigmoid(w x) * x),    or their sum

Roy et al., "scSE", https://arxiv.org/abs/1803.02579 and 1808.08127: ratio 2 there, maximum best.
Parameters: 2 C R + C; biases are in much code and not in the equations.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from senet_train.attention.gate import gate_behind, start_at_zero
from senet_train.attention.squeeze_excite import SqueezeExcite


class SpatialChannelSqueezeExcite(nn.Module):
    """SE over channels beside a 1x1 convolution to one gate a pixel.

    With `identity` both gates start at 1 and go from 0 to 2 instead of 0 to 1. Where they are
    added, they go from 0 to 1 and start at 1/2 each, whose sum is 1.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: int = 2,
        combine: Literal["max", "add"] = "max",
        identity: bool = False,
    ) -> None:
        super().__init__()
        doubled = identity and combine == "max"
        self.channel = SqueezeExcite(channels, ratio=ratio, identity=doubled)
        self.hidden = self.channel.hidden
        self.pixel = nn.Conv2d(channels, 1, 1, bias=False)
        self.activation = gate_behind(identity=doubled)
        if identity:
            start_at_zero(self.channel.expand, self.pixel)
        self.combine = torch.maximum if combine == "max" else torch.add

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        pixel = x * self.activation(self.pixel(x))  # gate (B, 1, H, W)
        return self.combine(self.channel(x), pixel)
