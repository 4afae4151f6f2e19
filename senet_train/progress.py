"""How far a run has come: with weights and optimizer, all that is needed to go on exactly.

Nothing random is in it: order, augmentation and dropout are pure functions of (seed, position).
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from senet_train.crew import crew
from senet_train.tally import Tally


@dataclass
class Progress:
    """A position in training, and what was counted on the way there.

    `batch` may equal the epoch's number of batches: the epoch is then still to be validated.
    """

    train: Tally  # of this epoch
    epoch: int = 0  # the one being trained, from 0
    batch: int = 0  # its batches that are done
    lr: float = 0.0  # of the last step
    history: list[dict[str, float]] = field(default_factory=list)  # a row of means per epoch
    best: tuple[float, float] = (-1, 0.0)  # the rank of the best epoch

    def end_epoch(self, row: dict[str, float], rank: tuple[float, float]) -> None:
        """Note the row of a validated epoch, and move to the next."""
        self.history.append(row)
        self.best = max(self.best, rank)
        self.epoch, self.batch = self.epoch + 1, 0

    def as_plain(self) -> dict[str, Any]:
        """Numbers, lists and tensors alone, as a checkpoint may hold: those of all processes."""
        train = self.train.of_all().sums.cpu()
        return {**vars(self), "train": train, "history": list(self.history)}

    def gone_on_with(self, plain: dict[str, Any]) -> "Progress":
        """What `as_plain` gave; of several processes the first goes on with the counts."""
        sums = plain["train"] if crew().leads else torch.zeros_like(plain["train"])
        train = self.train.with_sums(sums)
        return Progress(**{**plain, "train": train, "best": tuple(plain["best"])})
