"""Control: a learned gate for each channel that never sees the input.

    y_c = sigmoid(w_c) * x_c

What is left of channel attention when it cannot attend: a scale for each channel, at first 1/2 as
SE's. An arm that is no better than this one owes nothing to looking at the image. Directly behind
a BatchNorm (position `standard`) that scale is the BatchNorm's own once more, so the network can
express no more than the plain one: what differs is how it starts and how fast it learns.
Parameters: C.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.channel_gate import ChannelGate
from senet_train.attention.gates import gate_behind


class StaticGate(ChannelGate):
    """`x * sigmoid(w)`, one `w` a channel; at first 1/2 everywhere.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.
    """

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.activation = gate_behind(identity=identity)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C), which are not looked at -> factors (B, C)."""
        return self.activation(self.weight).expand_as(z)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), without the means that nothing looks at."""
        return x * self.activation(self.weight).to(x.dtype)[:, None, None]
