"""No attention: the baseline's slot, so that every arm is built by the same code."""

from torch import Tensor, nn


class NoAttention(nn.Module):
    """`y = x`: no parameters, nothing computed."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), unchanged."""
        return x
