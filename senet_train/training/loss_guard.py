"""A loss that is not finite touches no weight, and no step waits to be told that it is finite.

On a GPU the host runs ahead of the device; to read a loss is to wait for all that comes before it.
So the optimizer is told on the device: from the first loss on that is not finite it takes no step.
The host asks every few steps, and before a checkpoint and a validation: the weights are then those
from before that loss.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from senet_train.training.distributed.collectives import all_reduce_max, all_reduce_max_


@dataclass(frozen=True)
class NotFinite:
    """The first loss that was not finite: how many batches ago, and its value, if it is known here.

    Of several processes one may have had it, and the others know that there was one.
    """

    batches_ago: int  # 1 for the last one; the optimizer may take a step after several
    value: float | None


class LossGuard:
    """Sees every loss. `halted`, () float32, is 1 from the first on that is not finite, else 0.

    It is the same on all processes: their gradients are of all losses.
    """

    def __init__(self, device: torch.device) -> None:
        self.halted = torch.zeros((), device=device)
        self.losses: list[Tensor] = []  # since the host has asked, () each

    def see(self, loss: Tensor) -> None:
        """The loss of a batch, (), before the step is taken."""
        self.losses.append(loss.detach())
        self.halted.masked_fill_(~self.losses[-1].isfinite(), 1.0)
        all_reduce_max_(self.halted)

    def ask(self) -> NotFinite | None:
        """The first loss that was not finite, if there was one; waits for the device."""
        losses, self.losses = self.losses, []
        if not self.halted.item():
            return None
        values = torch.stack(losses).tolist()
        bad = [i for i, value in enumerate(values) if not math.isfinite(value)]
        own_batches_ago = len(values) - bad[0] if bad else 0
        [batches_ago] = map(int, all_reduce_max(own_batches_ago))
        return NotFinite(batches_ago, values[bad[0]] if own_batches_ago == batches_ago else None)
