"""Control: a learned gate for each channel that never sees the input.

    y_c = sigmoid(w_c) * x_c

What is left of channel attention when it cannot attend: a scale for each channel. An arm that is
no better than this one owes nothing to looking at the image. (The second variant of the ECA
paper, https://arxiv.org/abs/1910.03151, table 2, multiplies such weights with the pooled input
inside the gate; here nothing is pooled.) Parameters: C.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class StaticGate(nn.Module):
    """`x * sigmoid(w)`, one `w` a channel; at first 1/2 everywhere, about where SE starts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * torch.sigmoid(self.weight)[:, None, None]
