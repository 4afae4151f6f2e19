"""Effective Squeeze-and-Excitation: one layer without a bottleneck, and a hard sigmoid.

    y = hardsigmoid(W mean_hw(x) + b) * x

Lee and Park, "CenterMask", https://arxiv.org/abs/1911.06667; the hard sigmoid is that of its code.
Parameters: C^2 + C.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn

from senet_train.attention.gate import ChannelGate, gate_behind


class EffectiveSqueezeExcite(ChannelGate):
    """`x * hardsigmoid(W mean_hw(x) + b)`.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.
    """

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)
        self.activation = gate_behind(self.fc, gate="hardsigmoid", identity=identity)

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> factors (B, C)."""
        return self.activation(self.fc(z))
