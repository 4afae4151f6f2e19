"""Coordinate Attention: pool along rows and along columns, so that a gate knows where it is.

    f = hardswish(BN(W1 [mean_w(x); mean_h(x)])),    y = sigmoid(Wh f_h) * sigmoid(Ww f_w) * x

Hou et al., "Coordinate Attention", https://arxiv.org/abs/2103.02907, equations 4-9.
The authors' code has biases, and 8 hidden channels at least.
Parameters: 3 C R and 2 R of BatchNorm.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.gate import gate_behind, hidden_channels


class CoordinateAttention(nn.Module):
    """`x * gate of the row * gate of the column`.

    With `identity` both gates start at 1 and go from 0 to 2 instead of 0 to 1.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(self, channels: int, *, ratio: int = 16, identity: bool = False) -> None:
        super().__init__()
        self.hidden = hidden_channels(channels, ratio)
        self.reduce = nn.Conv1d(channels, self.hidden, 1, bias=False)
        self.norm = nn.BatchNorm1d(self.hidden)
        self.act = nn.Hardswish()
        self.rows = nn.Conv1d(self.hidden, channels, 1, bias=False)
        self.columns = nn.Conv1d(self.hidden, channels, 1, bias=False)
        self.activation = gate_behind(self.rows, self.columns, identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[2:]
        pools = torch.cat((x.mean(3), x.mean(2)), 2)  # (B, C, H, W) -> (B, C, H + W)
        shared = self.act(self.norm(self.reduce(pools)))  # (B, R, H + W)
        rows, columns = shared.split((height, width), 2)
        row_gate = self.activation(self.rows(rows))[:, :, :, None]  # (B, C, H, 1)
        return x * row_gate * self.activation(self.columns(columns))[:, :, None, :]
