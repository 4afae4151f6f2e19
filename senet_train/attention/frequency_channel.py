"""Frequency Channel Attention: SE that pools groups of channels by other cosines than the mean.

    z_c = sum_hw(x_c k_u(h) k_v(w)),    k_u(h) ~ cos(pi u (h + 1/2) / H),    y = s(z) * x

Qin et al., "FcaNet", https://arxiv.org/abs/2012.11879, section 3. The channels are split into as
many groups as there are frequencies; (u, v) = (0, 0) alone is SE but for the scale: each cosine has
unit norm, as in the authors' code, so z is sqrt(H W) times the mean and W1 learns that much faster.
The frequencies are the paper's on a grid of 7 x 7, stretched to the map: below 7 pixels some of
them fall together (9 of 16 are left on 4 x 4), where the authors enlarge the map.
Parameters: 2 C R, as SE.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from senet_train.attention.gate import gate_behind, hidden_channels

# The paper's choice on a 7x7 grid, best first: the 16 frequencies with the highest top-1 when
# each was trained alone (its figure 4; the list itself is in the authors' code).
ROWS = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2)
COLUMNS = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2)
GRID = 7


class FrequencyChannelAttention(nn.Module):
    """`x * sigmoid(W2 relu(W1 dct(x)))`.

    With `identity` the gate starts at 1 and goes from 0 to 2 instead of 0 to 1.

    Raises ValueError when `ratio` leaves no hidden channel, and for more frequencies than the
    channels can be split into.
    """

    def __init__(
        self, channels: int, *, ratio: int = 16, frequencies: int = 16, identity: bool = False
    ) -> None:
        super().__init__()
        most = min(len(ROWS), channels)
        if not 1 <= frequencies <= most:
            raise ValueError(
                f"frequencies={frequencies} for a layer of {channels} channels: choose 1 to {most}"
            )
        self.frequencies = frequencies
        self.hidden = hidden_channels(channels, ratio)
        self.reduce = nn.Linear(channels, self.hidden, bias=False)
        self.expand = nn.Linear(self.hidden, channels, bias=False)
        self.activation = gate_behind(self.expand, identity=identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        _, channels, height, width = x.shape
        basis = cosines(self.frequencies, channels, height, width, x.device, x.dtype)
        z = (x * basis).sum((2, 3))  # (B, C, H, W) -> (B, C)
        s = self.expand(torch.relu(self.reduce(z)))
        return x * self.activation(s)[:, :, None, None]


@lru_cache(maxsize=64)
def cosines(
    frequencies: int,
    channels: int,
    height: int,
    width: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Each channel's cosine, (C, H, W); the 7x7 grid is stretched over the map's frequencies."""
    maps = [
        np.outer(wave(row * height // GRID, height), wave(column * width // GRID, width))
        for row, column in zip(ROWS[:frequencies], COLUMNS[:frequencies], strict=True)
    ]
    groups = np.arange(channels) * frequencies // channels
    with torch.inference_mode(False):  # kept for training, whoever asks first
        return torch.from_numpy(np.stack(maps)[groups]).to(device, dtype)


def wave(frequency: int, length: int) -> NDArray[np.float64]:
    """One cosine of the discrete cosine transform of `length` samples, of unit norm."""
    cosine = np.cos(np.pi * frequency * (np.arange(length) + 0.5) / length)
    return cosine * math.sqrt((2 if frequency else 1) / length)
