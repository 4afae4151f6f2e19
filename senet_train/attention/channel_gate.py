"""What channel attentions share: a factor for each channel, computed from the channels' means.

Shapes: B batch, C channels, H height, W width.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ChannelGate(nn.Module, ABC):
    """`x * excite(mean_hw(x))`. BatchNorm before it can give the means: see `senet_train.fold`."""

    sees_only_means = True  # False where an option makes the gate look at more

    @abstractmethod
    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> factors (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        s = self.excite(x.mean((2, 3)))  # (B, C, H, W) -> (B, C)
        return x * s.to(x.dtype)[:, :, None, None]  # under autocast the map may be bfloat16
