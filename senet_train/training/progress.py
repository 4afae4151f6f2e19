"""How far a run has come, and its sums for the metrics: exact means, and exact after a resume."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from senet_train.training.distributed.collectives import all_reduce_sum
from senet_train.training.distributed.world import world


class BatchSums(NamedTuple):
    """What one batch adds to the sums."""

    loss: Tensor  # () float32, summed over the images
    counts: Tensor  # (num_counts,) int64, on the device of the loss
    num_images: int


def batch_sums(loss: Tensor, num_images: int, *counts: Tensor) -> BatchSums:
    """The sums of a batch from its summed loss () and counts of any shape, which are flattened."""
    flat = [count.reshape(-1) for count in counts]
    none = torch.zeros(0, dtype=torch.int64, device=loss.device)
    return BatchSums(loss.detach().float(), torch.cat(flat) if flat else none, num_images)


@dataclass
class MetricSums:
    """Sums over the images of one part of the data, and the metrics that follow from them.

    `sums` (num_sums,) is float64, on the host: the loss, the counts, and the number of images. It
    is all that a checkpoint must hold. `to_metrics` computes the metrics by name.

    To add a batch nothing is read from its device, and no float64 is there: counts are added as
    integers, and losses are kept until the sums are asked for. Added one by one in float64, they
    give the same bits wherever they were computed.
    """

    start: Tensor  # (num_sums,) float64: the sums without the batches since
    to_metrics: Callable[[Tensor], dict[str, float]]
    losses: list[Tensor] = field(default_factory=list)  # of the batches since, () each
    counts: list[Tensor] = field(
        default_factory=list
    )  # their sum, (num_counts,), once there is one
    images_since: int = 0

    @property
    def sums(self) -> Tensor:
        """The sums, (num_sums,). Waits for the device."""
        if self.losses:
            loss = float(self.start[0])
            for of_batch in torch.stack(self.losses).tolist():
                loss += of_batch
            counts = self.start[1:-1] + self.counts[0].cpu()
            ends = torch.tensor([loss, self.num_images], dtype=torch.float64)
            self.start = torch.cat([ends[:1], counts, ends[1:]])
            self.losses, self.counts, self.images_since = [], [], 0
        return self.start

    @property
    def num_images(self) -> int:
        """The number of images in the sums."""
        return int(self.start[-1]) + self.images_since

    def update(self, batch: BatchSums) -> None:
        """Add the sums of one batch."""
        self.losses.append(batch.loss)
        self.counts = [sum(self.counts, start=batch.counts)]
        self.images_since += batch.num_images

    def with_sums(self, sums: Tensor) -> "MetricSums":
        """The same metrics with other sums."""
        return MetricSums(sums, self.to_metrics)

    def all_reduced(self) -> "MetricSums":
        """The sums over all processes; each of them must call it."""
        return self.with_sums(all_reduce_sum(self.sums))

    def reset(self) -> None:
        """Set the sums to zero."""
        self.start = torch.zeros_like(self.start)
        self.losses, self.counts, self.images_since = [], [], 0

    def compute(self, part: str) -> dict[str, float]:
        """The metrics so far, `{part}_loss` and so on; then set the sums to zero."""
        metrics = {f"{part}_{name}": value for name, value in self.to_metrics(self.sums).items()}
        self.reset()
        return metrics


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
    best_epoch: int = 0
    stopped: str = ""  # the rule that ended training before its last epoch

    def end_epoch(self, row: dict[str, float], rank: tuple[float, float]) -> None:
        """Append the row of a validated epoch, and move to the next epoch."""
        self.history.append(row)
        if rank > self.best:
            self.best, self.best_epoch = rank, self.epoch
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and tensors for a checkpoint, with the sums over all processes."""
        train = self.train.all_reduced().sums
        return {**vars(self), "train": train, "history": list(self.history)}

    def with_state(self, state: dict[str, Any]) -> "Progress":
        """The progress of a `state_dict`. Rank 0 has its sums, and the other ranks zeros."""
        sums = state["train"] if world().is_rank_zero else torch.zeros_like(state["train"])
        train = self.train.with_sums(sums)
        return Progress(**{**state, "train": train, "best": tuple(state["best"])})
