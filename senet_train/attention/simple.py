"""SimAM: a gate for every single value, from how far it stands out of its map. No parameters.

    d = (x - mean_hw(x))^2,    v = sum_hw(d) / (H W - 1)
    y = sigmoid(d / (4 (v + lambda)) + 1/2) * x

Yang et al., "SimAM", https://proceedings.mlr.press/v139/yang21o.html, equation 5 and figure 3.
The authors put it behind a block's second convolution, before its BatchNorm; here it goes into
the same slots as the others. Parameters: 0.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class SimpleAttention(nn.Module):
    """`x * sigmoid(energy^-1)`; `regulariser` is the paper's lambda: 1e-4 CIFAR, 0.1 ImageNet.

    Raises ValueError for a regulariser of 0, and for `identity`: it has no parameter to start with.
    """

    def __init__(self, channels: int, *, regulariser: float = 1e-4, identity: bool = False) -> None:
        super().__init__()
        if identity:
            raise ValueError(
                "attention.identity=true is not for simam: it has no parameter that could start at "
                "the identity, choose another attention"
            )
        if regulariser <= 0:
            raise ValueError(f"regulariser={regulariser} divides by zero: choose regulariser > 0")
        self.regulariser = regulariser

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        distance = (x - x.mean((2, 3), keepdim=True)).square()
        others = max(x.shape[2] * x.shape[3] - 1, 1)  # a map may be one pixel
        variance = distance.sum((2, 3), keepdim=True) / others
        gate = torch.sigmoid(distance / (4 * (variance + self.regulariser)) + 0.5)
        return x * gate.to(x.dtype)
