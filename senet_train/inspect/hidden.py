"""Hidden units of Squeeze-and-Excitation that never wake.

Shapes: B batch, R hidden channels.
"""

from typing import Any

import torch
from torch import Tensor, nn

from senet_train.attention import SqueezeExcite


class HiddenUnits:
    """Which hidden units of a Squeeze-and-Excitation layer have ever been awake."""

    def __init__(self, module: SqueezeExcite) -> None:
        self.awake = torch.zeros(module.hidden, dtype=torch.bool)
        self.handle = module.reduce.register_forward_hook(self.note)

    def note(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Remember the units that ReLU lets through, (B, ..., R)."""
        self.awake |= (output > 0).flatten(0, -2).any(0).cpu()  # (B, ..., R) -> (R,)

    def num_dead(self) -> int:
        """How many were zero for every image; the layer is watched no longer."""
        self.handle.remove()
        return int((~self.awake).sum())
