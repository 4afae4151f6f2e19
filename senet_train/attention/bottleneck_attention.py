"""Bottleneck Attention Module: channels and pixels side by side, added before one gate.

    y = (1 + sigmoid(Mc(x) + Ms(x))) * x
    Mc = W2 relu(BN(W1 mean_hw(x))),    Ms = 1x1 -> two dilated 3x3 -> 1x1 to one map

Park et al., "BAM", https://arxiv.org/abs/1807.06514, equations 1-4; the paper puts one behind
each stage but the last, which is this option's default placement (conf/attention/bam.yaml).
Parameters: 3 C R + 18 R^2 + C + 13 R + 1 (ResNet-50: 358,067 in three places).

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.reduction import hidden_channels


class BottleneckAttention(nn.Module):
    """`x * (1 + sigmoid(channel + spatial))`; both branches have BatchNorm, as in the paper.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(self, channels: int, *, ratio: int = 16, dilation: int = 4) -> None:
        super().__init__()
        self.hidden = hidden = hidden_channels(channels, ratio)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        self.spatial = nn.Sequential(
            *convolve(channels, hidden, kernel=1, dilation=1),
            *convolve(hidden, hidden, kernel=3, dilation=dilation),
            *convolve(hidden, hidden, kernel=3, dilation=dilation),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        channel = self.channel(x.mean((2, 3)))[:, :, None, None]  # (B, C, H, W) -> (B, C, 1, 1)
        spatial = self.spatial(x)  # (B, C, H, W) -> (B, 1, H, W)
        return x * (1 + torch.sigmoid(channel + spatial))


def convolve(in_channels: int, channels: int, *, kernel: int, dilation: int) -> list[nn.Module]:
    """Convolution with bias, as the paper counts it, BatchNorm and ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, channels, kernel, padding=padding, dilation=dilation)
    return [conv, nn.BatchNorm2d(channels), nn.ReLU()]
