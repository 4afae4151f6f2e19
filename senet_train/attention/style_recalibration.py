"""Style-based Recalibration: each channel's gate from its own mean and standard deviation.

    y = sigmoid(BN(w1 mean_hw(x) + w2 std_hw(x))) * x

Lee et al., "SRM", https://arxiv.org/abs/1903.10829, section 3. The deviation is over all pixels
(theirs over pixels - 1: a map may be one pixel), with 1e-5 inside its root.
Parameters: 4 C: two weights a channel, two of BatchNorm.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.gate import gate_behind


class StyleRecalibration(nn.Module):
    """`x * sigmoid(BN(w . [mean, std]))`; at first the gate is 1/2 everywhere.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.
    """

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        self.mean_weight = nn.Parameter(torch.zeros(channels))
        self.std_weight = nn.Parameter(torch.zeros(channels))
        self.norm = nn.BatchNorm1d(channels)
        self.activation = gate_behind(identity=identity)  # w is zero as it is

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        variance, mean = torch.var_mean(x, (2, 3), correction=0)  # (B, C, H, W) -> (B, C)
        style = self.mean_weight * mean + self.std_weight * (variance + 1e-5).sqrt()
        gate = self.activation(self.norm(style))  # (B, C)
        return x * gate.to(x.dtype)[:, :, None, None]
