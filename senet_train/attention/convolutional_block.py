"""Convolutional Block Attention Module: first which channels, then which pixels.

    m = sigmoid(MLP(mean_hw(x)) + MLP(max_hw(x))) * x,    MLP(z) = W2 relu(W1 z)
    y = sigmoid(conv_k([mean_c(m); max_c(m)])) * m

Woo et al., "CBAM", https://arxiv.org/abs/1807.06521, equations 1-3.
Parameters: 2 C R + 2 k^2 (k = 7: 98 more than SE). The authors' code has a BatchNorm behind the 7x7
convolution and biases in the two layers; their text has neither, nor has this.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.gate import gate_behind, hidden_channels


class ConvolutionalBlockAttention(nn.Module):
    """A channel gate from average and maximum, then a pixel gate from the same two.

    With `identity` both start at 1 and go from 0 to 2 instead of 0 to 1.

    Raises ValueError when `ratio` leaves no hidden channel, and for an even kernel.
    """

    def __init__(
        self, channels: int, *, ratio: int = 16, kernel: int = 7, identity: bool = False
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel={kernel} has no middle: choose an odd kernel >= 1")
        self.hidden = hidden_channels(channels, ratio)
        self.reduce = nn.Linear(channels, self.hidden, bias=False)
        self.expand = nn.Linear(self.hidden, channels, bias=False)
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.activation = gate_behind(self.expand, self.spatial, identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x * self.channel_gate(x)
        return x * self.spatial_gate(x)

    def channel_gate(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1); the two pools share the layers."""
        pools = torch.stack((x.mean((2, 3)), x.amax((2, 3))))  # (B, C, H, W) -> (2, B, C)
        average, maximum = self.expand(torch.relu(self.reduce(pools)))  # (2, B, C)
        return self.activation(average + maximum)[:, :, None, None]

    def spatial_gate(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W)."""
        pools = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)  # (B, 2, H, W)
        return self.activation(self.spatial(pools))
