"""Effective Squeeze-and-Excitation: one layer without a bottleneck, and a hard sigmoid.

    y = hardsigmoid(W mean_hw(x) + b) * x

Lee and Park, "CenterMask", https://arxiv.org/abs/1911.06667; the hard sigmoid is that of its code.
Parameters: C^2 + C.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention.channel_gate import ChannelGate


class EffectiveSqueezeExcite(ChannelGate):
    """`x * hardsigmoid(W mean_hw(x) + b)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> factors (B, C)."""
        return F.hardsigmoid(self.fc(z))
