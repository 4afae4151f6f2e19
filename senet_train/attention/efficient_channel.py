"""Efficient Channel Attention: each gate sees its channel's average and a few neighbours'.

    y = sigmoid(conv1d_k(mean_hw(x))) * x,    k = |log2(C) / 2 + 1/2| made odd

Wang et al., "ECA-Net", https://arxiv.org/abs/1910.03151, equations 7 and 12 (gamma 2, b 1).
Parameters: k, shared by all channels.

Shapes: B batch, C channels, H height, W width.
"""

import math
from typing import Literal

from torch import Tensor, nn

from senet_train.attention.gate import ChannelGate, gate_behind


class EfficientChannelAttention(ChannelGate):
    """`x * sigmoid(conv1d(mean_hw(x)))`, the convolution along the channels.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.

    Raises ValueError for an even kernel.
    """

    def __init__(
        self, channels: int, *, kernel: Literal["auto"] | int = "auto", identity: bool = False
    ) -> None:
        super().__init__()
        size = adaptive_kernel(channels) if kernel == "auto" else kernel
        if size < 1 or size % 2 == 0:
            raise ValueError(f"kernel={kernel} has no middle: choose auto or an odd kernel >= 1")
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        self.activation = gate_behind(self.conv, identity=identity)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> factors (B, C)."""
        s = self.conv(z[:, None])  # (B, C) -> (B, 1, C)
        return self.activation(s[:, 0])


def adaptive_kernel(channels: int) -> int:
    """Equation 12: 3 for 16 to 64 channels, 5 for 128 to 1024, 7 for 2048."""
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1
