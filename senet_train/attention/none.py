"""No attention: the baseline's slot, so that every arm is built by the same code."""

from torch import nn


class NoAttention(nn.Identity):
    """`y = x`: no parameters, nothing computed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
