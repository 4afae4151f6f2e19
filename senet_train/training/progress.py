"""How far a run has come, and what was counted on the way: exact means, exact continuation."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from senet_train.training.distributed.collectives import all_reduce_sum
from senet_train.training.distributed.world import world


@dataclass
class Tally:
    """What is counted of one part of the data: `sums` (num_sums,) float64, the images last.

    They are on the device of the first batch, and all that a run must save to go on counting;
    `mean_values` makes means of them, each by its name.
    """

    sums: Tensor
    mean_values: Callable[[Tensor], dict[str, float]]

    @property
    def num_images(self) -> int:
        """How many images were counted."""
        return int(self.sums[-1])

    def add(self, counts: Tensor) -> None:
        """Count one batch, (num_sums,)."""
        self.sums = self.sums.to(counts.device) + counts.double()

    def with_sums(self, sums: Tensor) -> "Tally":
        """Another of the same kind."""
        return replace(self, sums=sums)

    def of_all(self) -> "Tally":
        """What all processes counted; every one of them must ask."""
        return self.with_sums(all_reduce_sum(self.sums))

    def reset(self) -> None:
        """Start anew."""
        self.sums = torch.zeros_like(self.sums)

    def means(self, part: str) -> dict[str, float]:
        """`{part}_loss` and its like over all images counted; then start anew."""
        means = {f"{part}_{name}": value for name, value in self.mean_values(self.sums).items()}
        self.reset()
        return means


def row_of(*counts: Tensor | float, device: torch.device) -> Tensor:
    """Scalars and tensors of counts one after the other, (num_sums,) float64."""
    parts = [torch.as_tensor(count).to(device, torch.float64).reshape(-1) for count in counts]
    return torch.cat(parts)


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
        sums = plain["train"] if world().is_rank_zero else torch.zeros_like(plain["train"])
        train = self.train.with_sums(sums)
        return Progress(**{**plain, "train": train, "best": tuple(plain["best"])})
