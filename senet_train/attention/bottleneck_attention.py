"""Bottleneck Attention Module: channels and pixels side by side, added before one gate.

    y = (1 + sigmoid(Mc(x) + Ms(x))) * x
    Mc = BN(W2 relu(W1 mean_hw(x))),    Ms = BN(1x1 -> two dilated 3x3 -> 1x1 to one map)

Park et al., "BAM", https://arxiv.org/abs/1807.06514, equations 1-4. The authors' code differs from
their text: it has BatchNorm and ReLU behind the hidden layers and multiplies the branches. The
paper puts one module behind each stage but the last: conf/attention/bam.yaml does.
Parameters: 3 C R + 18 R^2 + 3 C + 5 R + 3 (ResNet-50: 360,761 in three places).

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

from torch import Tensor, nn

from senet_train.attention.gate import gate_behind, hidden_channels


class BottleneckAttention(nn.Module):
    """`x * (1 + sigmoid(channel + spatial))`, each branch scaled by a BatchNorm of its own.

    With `identity` the gate is `2 sigmoid(...)`: 1 at first, and from 0 to 2 instead of 1 to 2.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(
        self, channels: int, *, ratio: int = 16, dilation: int = 4, identity: bool = False
    ) -> None:
        super().__init__()
        self.hidden = hidden = hidden_channels(channels, ratio)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
            nn.BatchNorm1d(channels),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            nn.Conv2d(hidden, 1, 1),
            nn.BatchNorm2d(1),
        )
        last = (self.channel[-1], self.spatial[-1])
        self.activation = gate_behind(*last, gate="open", identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        channel = self.channel(x.mean((2, 3)))[:, :, None, None]  # (B, C, H, W) -> (B, C, 1, 1)
        spatial = self.spatial(x)  # (B, C, H, W) -> (B, 1, H, W)
        return x * self.activation(channel + spatial)
