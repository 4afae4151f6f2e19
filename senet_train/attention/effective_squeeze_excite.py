"""Effective Squeeze-and-Excitation: one layer without a bottleneck, and a hard sigmoid.

    y = hardsigmoid(W mean_hw(x) + b) * x

Lee and Park, "CenterMask", https://arxiv.org/abs/1911.06667; the hard sigmoid is that of its code.
Parameters: C^2 + C.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class EffectiveSqueezeExcite(nn.Module):
    """`x * hardsigmoid(W mean_hw(x) + b)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        s = self.fc(x.mean((2, 3)))  # (B, C, H, W) -> (B, C)
        return x * F.hardsigmoid(s)[:, :, None, None]
