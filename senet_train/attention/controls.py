"""Controls: no attention, a gate that never sees the input, a gate of another image."""

import torch
from torch import Tensor, nn

from senet_train.attention.gate import ChannelGate, gate_behind
from senet_train.attention.squeeze_excite import SqueezeExcite


class NoAttention(nn.Identity):
    """`y = x`: no parameters, nothing computed. Raises ValueError for `identity`."""

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        if identity:
            raise ValueError(
                "attention.identity=true is not for none: there is nothing to insert, "
                "choose an attention"
            )


class ShuffledSqueezeExcite(SqueezeExcite):
    """SE with the gate of another image of the batch; a batch of one image uses its own."""

    mixes_images = True  # the whole batch must be in one process

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> the factors (B, C) of the image before."""
        return super().excite(z).roll(1, 0)


class StaticGate(ChannelGate):
    """`x * sigmoid(w)`, one `w` a channel; at first 1/2 everywhere.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.
    """

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.activation = gate_behind(identity=identity)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C), which are not used -> factors (B, C)."""
        return self.activation(self.weight).expand_as(z)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), without computing the means."""
        return x * self.activation(self.weight).to(x.dtype)[:, None, None]
