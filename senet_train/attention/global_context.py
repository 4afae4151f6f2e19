"""Global Context: pool with learned weights over the pixels, add the result to every pixel.

    p = softmax_hw(w x),    z = sum_hw(p x),    y = x + W2 relu(LN(W1 z))

Cao et al., "GCNet", https://arxiv.org/abs/1904.11492, equation 5.
The last layer starts at zero, as in the authors' code, so the block starts as the identity.
Parameters: 2 C R + C and 2 R of LayerNorm, and C + R + 1 more with bias.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.gate import hidden_channels


class GlobalContext(nn.Module):
    """`x + W2 relu(LN(W1 attention_pool(x)))`; at first the identity.

    Raises ValueError when `ratio` leaves fewer than 2 hidden channels: of one, LayerNorm leaves
    nothing but its own bias; and for `identity=False`, as it has no other start.
    """

    def __init__(
        self, channels: int, *, ratio: int = 16, bias: bool = True, identity: bool = True
    ) -> None:
        super().__init__()
        if not identity:
            raise ValueError(
                "attention.identity=false is not for gc: it always starts as the identity, "
                "leave it out"
            )
        self.hidden = hidden_channels(channels, ratio)
        if self.hidden < 2:
            raise ValueError(
                f"ratio={ratio} leaves one hidden channel for a layer of {channels} channels, "
                f"which LayerNorm makes constant: choose ratio <= {channels // 2}"
            )
        self.weigh = nn.Linear(channels, 1, bias=bias)
        self.reduce = nn.Linear(channels, self.hidden, bias=bias)
        self.norm = nn.LayerNorm(self.hidden)
        self.expand = nn.Linear(self.hidden, channels, bias=bias)
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        pixels = x.flatten(2).mT  # (B, C, H, W) -> (B, H W, C)
        weights = self.weigh(pixels).softmax(1)  # (B, H W, 1)
        context = (weights.mT @ pixels)[:, 0]  # (B, 1, C) -> (B, C)
        added = self.expand(torch.relu(self.norm(self.reduce(context))))
        return x + added[:, :, None, None]
