"""How far a run has come: with weights and optimizer, all that is needed to go on exactly.

Nothing random is in it: order, augmentation and dropout are pure functions of (seed, position).
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from senet_train.agreement import total
from senet_train.crew import crew


@dataclass
class Tally:
    """Sums over images, divided once: exact means however the images fell into batches.

    `sums` holds loss, top-1 hits, top-5 hits and images, on the device of the first batch.
    """

    sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))

    def add(self, loss_sum: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: the summed loss (), logits (B, K), labels (B,)."""
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, K) -> (B, 5)
        hits = best == labels[:, None]  # (B, 5)
        counts = [loss_sum, hits[:, 0].sum(), hits.sum(), torch.tensor(len(labels))]
        row = torch.stack([count.to(logits.device, torch.float64) for count in counts])
        self.sums = self.sums.to(row.device) + row

    @property
    def num_images(self) -> int:
        """How many images were counted."""
        return int(self.sums[3])

    def of_all(self) -> "Tally":
        """What all processes counted; every one of them must ask."""
        return Tally(total(self.sums))

    def reset(self) -> None:
        """Start anew."""
        self.sums = torch.zeros_like(self.sums)

    def means(self, part: str) -> dict[str, float]:
        """`{part}_loss`, `{part}_top1`, `{part}_top5` over all images counted; then start anew."""
        loss, top1, top5, images = self.sums.tolist()
        self.reset()
        return {
            f"{part}_loss": loss / images,
            f"{part}_top1": top1 / images,
            f"{part}_top5": top5 / images,
        }


@dataclass
class Progress:
    """A position in training, and what was counted on the way there.

    `batch` may equal the epoch's number of batches: the epoch is then still to be validated.
    """

    epoch: int = 0  # the one being trained, from 0
    batch: int = 0  # its batches that are done
    train: Tally = field(default_factory=Tally)  # of this epoch
    lr: float = 0.0  # of the last step
    history: list[dict[str, float]] = field(default_factory=list)  # a row of means per epoch
    best: tuple[int, float] = (-1, 0.0)  # images right and minus the loss, of the best epoch

    def end_epoch(self, row: dict[str, float], rank: tuple[int, float]) -> None:
        """Note the row of a validated epoch, and move to the next."""
        self.history.append(row)
        self.best = max(self.best, rank)
        self.epoch, self.batch = self.epoch + 1, 0

    def as_plain(self) -> dict[str, Any]:
        """Numbers, lists and tensors alone, as a checkpoint may hold: those of all processes."""
        train = self.train.of_all().sums.cpu()
        return {**vars(self), "train": train, "history": list(self.history)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Progress":
        """The inverse of `as_plain`; of several processes the first goes on with the counts."""
        train = Tally(plain["train"] if crew().leads else torch.zeros_like(plain["train"]))
        return cls(**{**plain, "train": train, "best": tuple(plain["best"])})
