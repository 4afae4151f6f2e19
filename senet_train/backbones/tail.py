"""The tail of a convolution: BatchNorm, attention, the addition of a shortcut, ReLU.

Blocks call the `Tail` that `Backbone.use_tail` gave them; `composed` calls module after module.

Shapes: B batch, C channels, H height, W width.
"""

from typing import Protocol

import torch
from torch import Tensor, nn


class Tail(Protocol):
    """Maps (B, C, H, W), their norm, attention and shortcut if any -> (B, C, H, W)."""

    def __call__(
        self,
        y: Tensor,
        norm: nn.BatchNorm2d,
        attention: nn.Module | None = None,
        shortcut: Tensor | None = None,
        *,
        relu: bool = True,
    ) -> Tensor: ...


def composed(
    y: Tensor,
    norm: nn.BatchNorm2d,
    attention: nn.Module | None = None,
    shortcut: Tensor | None = None,
    *,
    relu: bool = True,
) -> Tensor:
    """`relu(attention(norm(y)) + shortcut)`, module by module."""
    y = norm(y)
    y = y if attention is None else attention(y)
    y = y if shortcut is None else y + shortcut
    return torch.relu(y) if relu else y
