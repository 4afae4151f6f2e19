"""No attention: the baseline's slot, so that every arm is built by the same code."""

from torch import nn


class NoAttention(nn.Identity):
    """`y = x`: no parameters, nothing computed. Raises ValueError for `identity`."""

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        if identity:
            raise ValueError(
                "attention.identity=true is not for none: there is nothing to insert, "
                "choose an attention"
            )
