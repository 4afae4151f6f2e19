"""Non-local block: every pixel looks at every other, as in a transformer with one head.

    y = x + BN(Wz softmax(q k^T / sqrt(R)) v),    q, k, v = three 1x1 convolutions of x

Wang et al., "Non-local Neural Networks", https://arxiv.org/abs/1711.07971, equations 1-6 (the
embedded Gaussian, with the scale that transformers have). Attention over positions, not channels:
here so that the two kinds can be compared. Parameters: 4 C R + 3 R + 3 C (R = C / 2 in the paper).

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention.gate import hidden_channels


class NonLocal(nn.Module):
    """Self-attention between pixels, added to its input; at first the identity.

    Raises ValueError when `ratio` leaves no hidden channel, and for `identity=False`, as it has no
    other start.
    """

    def __init__(self, channels: int, *, ratio: int = 2, identity: bool = True) -> None:
        super().__init__()
        if not identity:
            raise ValueError(
                "attention.identity=false is not for nonlocal: it always starts as the identity, "
                "leave it out"
            )
        self.hidden = hidden_channels(channels, ratio)
        self.query = nn.Conv2d(channels, self.hidden, 1)
        self.key = nn.Conv2d(channels, self.hidden, 1)
        self.value = nn.Conv2d(channels, self.hidden, 1)
        self.out = nn.Conv2d(self.hidden, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        q, k, v = (
            layer(x).flatten(2).mT[:, None]  # (B, R, H, W) -> (B, 1, H W, R)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(q, k, v)[:, 0].mT  # (B, 1, H W, R) -> (B, R, H W)
        return x + self.norm(self.out(attended.unflatten(2, x.shape[2:])))
