"""Style-based Recalibration: each channel's gate from its own mean and standard deviation.

    y = sigmoid(BN(w1 mean_hw(x) + w2 std_hw(x))) * x

Lee et al., "SRM", https://arxiv.org/abs/1903.10829, equations 3-6.
Parameters: 4 C: two weights a channel, two of BatchNorm.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class StyleRecalibration(nn.Module):
    """`x * sigmoid(BN(w . [mean, std]))`; at first the gate is 1/2 everywhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 2))
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        # The variance over all pixels, not over pixels - 1: a map may be one pixel.
        variance, mean = torch.var_mean(x, (2, 3), correction=0)  # (B, C, H, W) -> (B, C)
        style = torch.stack((mean, (variance + 1e-5).sqrt()), -1)  # (B, C, 2)
        s = self.norm((style * self.weight).sum(-1))  # (B, C, 2) -> (B, C)
        return x * torch.sigmoid(s)[:, :, None, None]
