"""How far a run has come, and its sums for the metrics: exact means, and exact after a resume."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from senet_train.training.distributed.collectives import all_reduce_sum
from senet_train.training.distributed.world import world


@dataclass
class MetricSums:
    """Sums over the images of one part of the data, and the metrics that follow from them.

    `sums` (num_sums,) is float64, on the device of the batches, with the number of images last. It
    is all that a checkpoint must hold. `to_metrics` computes the metrics by name.
    """

    sums: Tensor
    to_metrics: Callable[[Tensor], dict[str, float]]

    @property
    def num_images(self) -> int:
        """The number of images in the sums."""
        return int(self.sums[-1])

    def update(self, counts: Tensor) -> None:
        """Add the sums of one batch, (num_sums,)."""
        self.sums = self.sums.to(counts.device) + counts.double()

    def with_sums(self, sums: Tensor) -> "MetricSums":
        """The same metrics with other sums."""
        return replace(self, sums=sums)

    def all_reduced(self) -> "MetricSums":
        """The sums over all processes; each of them must call it."""
        return self.with_sums(all_reduce_sum(self.sums))

    def reset(self) -> None:
        """Set the sums to zero."""
        self.sums = torch.zeros_like(self.sums)

    def compute(self, part: str) -> dict[str, float]:
        """The metrics so far, `{part}_loss` and so on; then set the sums to zero."""
        metrics = {f"{part}_{name}": value for name, value in self.to_metrics(self.sums).items()}
        self.reset()
        return metrics


def concatenated(*counts: Tensor | float, device: torch.device) -> Tensor:
    """Scalars and tensors, flattened and concatenated to (num_sums,) float64."""
    parts = [torch.as_tensor(count).to(device, torch.float64).reshape(-1) for count in counts]
    return torch.cat(parts)


@dataclass
class Progress:
    """A position in training, with the sums of this epoch and the rows of the earlier ones.

    `batch` may equal the number of batches of an epoch: the epoch is then still to be validated.
    """

    train: MetricSums  # of this epoch
    epoch: int = 0  # the one being trained, from 0
    batch: int = 0  # the number of its batches that are done
    lr: float = 0.0  # of the last step
    history: list[dict[str, float]] = field(default_factory=list)  # a row of means per epoch
    best: tuple[float, float] = (-1, 0.0)  # the rank of the best epoch

    def end_epoch(self, row: dict[str, float], rank: tuple[float, float]) -> None:
        """Append the row of a validated epoch, and move to the next epoch."""
        self.history.append(row)
        self.best = max(self.best, rank)
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and tensors for a checkpoint, with the sums over all processes."""
        train = self.train.all_reduced().sums.cpu()
        return {**vars(self), "train": train, "history": list(self.history)}

    def with_state(self, state: dict[str, Any]) -> "Progress":
        """The progress of a `state_dict`. Rank 0 has its sums, and the other ranks zeros."""
        sums = state["train"] if world().is_rank_zero else torch.zeros_like(state["train"])
        train = self.train.with_sums(sums)
        return Progress(**{**state, "train": train, "best": tuple(state["best"])})
