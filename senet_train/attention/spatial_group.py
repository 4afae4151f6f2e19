"""Spatial Group-wise Enhance: in each group of channels, stress pixels that look like its mean.

    c = x . mean_hw(x) (over a group's channels),    c^ = (c - mean_hw(c)) / std_hw(c)
    y = sigmoid(gamma c^ + beta) * x

Li et al., "SGE", https://arxiv.org/abs/1905.09646, equations 1-5; 64 groups there. The deviation
is over all pixels (theirs over pixels - 1), with 1e-5 inside its root: outside, as theirs, the
gradient of a constant map is not a number.
Parameters: 2 G.

Shapes: B batch, C channels, G groups, H height, W width.
"""

import torch
from torch import Tensor, nn

from senet_train.attention.gate import gate_behind

EPSILON = 1e-5


class SpatialGroupEnhance(nn.Module):
    """One pixel gate a group; at first nearly the same for all pixels, sigmoid(1).

    With `identity` beta starts at 0 and the gate at 1: it goes from 0 to 2 instead of 0 to 1.

    Raises ValueError when `groups` does not divide the channels.
    """

    def __init__(self, channels: int, *, groups: int = 8, identity: bool = False) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(
                f"groups={groups} does not divide the {channels} channels of a layer: "
                "choose a divisor"
            )
        self.groups = groups
        self.gamma = nn.Parameter(torch.zeros(groups))
        self.beta = nn.Parameter(torch.zeros(groups) if identity else torch.ones(groups))
        self.activation = gate_behind(identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        grouped = x.unflatten(1, (self.groups, -1))  # (B, C, H, W) -> (B, G, C / G, H, W)
        likeness = (grouped * grouped.mean((3, 4), keepdim=True)).sum(2)  # (B, G, H, W)
        variance, mean = torch.var_mean(likeness, (2, 3), correction=0, keepdim=True)
        normalised = (likeness - mean) * (variance + EPSILON).rsqrt()
        s = self.gamma[:, None, None] * normalised + self.beta[:, None, None]  # (B, G, H, W)
        gate = self.activation(s).to(x.dtype)
        return (grouped * gate[:, :, None]).flatten(1, 2)
