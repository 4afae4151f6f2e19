"""Global Context: pool with learned weights over the pixels, add the result to every pixel.

    p = softmax_hw(w x),    z = sum_hw(p x),    y = x + W2 relu(LN(W1 z))

Cao et al., "GCNet", https://arxiv.org/abs/1904.11492, equation 5.
Parameters: 2 C R + C and 2 R of LayerNorm, and C + R + 1 more with bias.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.reduction import hidden_channels


class GlobalContext(nn.Module):
    """`x + W2 relu(LN(W1 attention_pool(x)))`.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(self, channels: int, *, ratio: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.hidden = hidden_channels(channels, ratio)
        self.weigh = nn.Linear(channels, 1, bias=bias)
        self.reduce = nn.Linear(channels, self.hidden, bias=bias)
        self.norm = nn.LayerNorm(self.hidden)
        self.expand = nn.Linear(self.hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        pixels = x.flatten(2).mT  # (B, C, H, W) -> (B, H W, C)
        weights = self.weigh(pixels).softmax(1)  # (B, H W, 1)
        context = (weights.mT @ pixels)[:, 0]  # (B, 1, C) -> (B, C)
        added = self.expand(torch.relu(self.norm(self.reduce(context))))
        return x + added[:, :, None, None]
