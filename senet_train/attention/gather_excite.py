"""Gather-Excite: gather over a neighbourhood of a chosen extent, excite pixel by pixel.

    ge:            y = sigmoid(up(pool_e(x))) * x                  (theta-minus in the paper)
    ge_theta:      pool_e becomes log2(e) depthwise 3x3 convolutions of stride 2
    ge_theta_plus: and their result passes relu, then W2 relu(W1 .), before the sigmoid

Hu et al., "Gather-Excite", https://arxiv.org/abs/1810.12348, sections 3 and 4. The paper's
parametrised global gather needs a kernel as large as the map; here theta has extents 2, 4 and 8.
The authors' release has biases in the last two layers: `bias=true`.
Parameters: 0; 11 C log2(e), 9 C weights and 2 C of BatchNorm a convolution; and 2 C R more.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width, E extent.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention.gate import ChannelGate, Gate, gate_behind, hidden_channels


class GatherExcite(ChannelGate):
    """`x * sigmoid(up(pool(x)))`: no parameters, so `identity` raises ValueError."""

    def __init__(
        self,
        channels: int,
        *,
        extent: Literal["global", 2, 4, 8] = "global",
        identity: bool = False,
    ) -> None:
        super().__init__()
        if identity:
            raise ValueError(
                "attention.identity=true is not for ge: it has no parameter that could start at "
                "the identity, choose ge_theta or ge_theta_plus"
            )
        self.extent = extent
        self.sees_only_means = extent == "global"

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> factors (B, C)."""
        return torch.sigmoid(z)

    def gather(self, x: Tensor) -> Tensor:
        """Means of windows of 2 E - 1 pixels every E pixels: (B, C, H / E, W / E)."""
        if self.extent == "global":
            return x.mean((2, 3), keepdim=True)
        window, padding = 2 * self.extent - 1, self.extent - 1
        return F.avg_pool2d(x, window, self.extent, padding, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return excite(x, self.gather(x), torch.sigmoid)


class GatherExciteTheta(nn.Module):
    """`x * sigmoid(up(convolutions(x)))`.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.
    """

    def __init__(
        self, channels: int, *, extent: Literal[2, 4, 8] = 8, identity: bool = False
    ) -> None:
        super().__init__()
        self.gather = strided_convolutions(channels, extent)
        self.activation = gate_behind(self.gather[-1], identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return excite(x, self.gather(x), self.activation)


class GatherExciteThetaPlus(GatherExciteTheta):
    """`x * sigmoid(up(W2 relu(W1 relu(convolutions(x)))))`; `identity` as in GatherExciteTheta.

    Raises ValueError when `ratio` leaves no hidden channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        extent: Literal[2, 4, 8] = 8,
        ratio: int = 16,
        bias: bool = False,
        identity: bool = False,
    ) -> None:
        super().__init__(channels, extent=extent)
        self.hidden = hidden_channels(channels, ratio)
        self.reduce = nn.Conv2d(channels, self.hidden, 1, bias=bias)
        self.expand = nn.Conv2d(self.hidden, channels, 1, bias=bias)
        self.activation = gate_behind(self.expand, identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gathered = torch.relu(self.gather(x))
        return excite(x, self.expand(torch.relu(self.reduce(gathered))), self.activation)


def excite(x: Tensor, s: Tensor, gate: Gate) -> Tensor:
    """Gate `x` by the nearest gathered value, (B, C, H / E, W / E) -> (B, C, H, W)."""
    if s.shape[2:] != (1, 1):
        s = F.interpolate(s, x.shape[2:])  # float32 under CUDA's autocast
    return x * gate(s).to(x.dtype)


def strided_convolutions(channels: int, extent: int) -> nn.Sequential:
    """log2(extent) depthwise convolutions of stride 2, each with BatchNorm, ReLU between."""
    layers: list[nn.Module] = []
    for _ in range(extent.bit_length() - 1):
        conv = nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False)
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
