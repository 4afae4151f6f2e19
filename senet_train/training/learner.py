"""What every task's LightningModule shares: SGD, epochs that end in a row, a stop at no loss.

A task says what is learnt from a batch, what is counted of it, and which epoch is the best.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from senet_train.config.schema import Optim
from senet_train.data.loaders import Batch
from senet_train.errors import Diverged
from senet_train.keyed import keyed_seed
from senet_train.runs.metrics import AnyMetrics, Score, metrics_of
from senet_train.training.distributed.collectives import all_reduce_max, broadcast
from senet_train.training.optimizer import (
    EVERYTHING,
    freeze_backbone,
    hold_statistics,
    parameter_groups,
)
from senet_train.training.progress import Progress, Tally
from senet_train.training.schedule import Schedule, with_warmup


class Learner(pl.LightningModule, ABC):
    """Trains and evaluates a network; `progress.history` has one row of means per epoch.

    `new` begins the names of what is no backbone, for `optim.frozen` and `backbone_lr_factor`.
    Raises Diverged, before the weights change, when a loss is not finite.
    """

    kind: ClassVar[type[AnyMetrics]]
    score: ClassVar[Score]  # that of `kind`
    final_metrics: ClassVar[tuple[str, ...]]  # of the record: what TensorBoard's HPARAMS tab shows

    def __init__(
        self,
        network: nn.Module,
        optim: Optim,
        schedule: Schedule,
        *,
        seed: int,
        max_epochs: int,
        steps_per_epoch: int,
        new: tuple[str, ...] = EVERYTHING,
    ) -> None:
        super().__init__()
        self.new = new
        self.network: Any = network  # a task's own kind
        self.optim, self.schedule = optim, schedule
        self.seed, self.max_epochs, self.steps_per_epoch = seed, max_epochs, steps_per_epoch
        if optim.frozen == "backbone":
            freeze_backbone(network, new)
        self.progress = Progress(self.new_tally("train"))
        self.improved = False  # whether the last epoch validated is the best so far
        self.tally = {part: self.new_tally(part) for part in ("val", "test")}
        self.test_means: dict[str, float] = {}
        self.test_batches: list[tuple[Tensor, Tensor]] = []  # indices (B,), and what was said

    @abstractmethod
    def new_tally(self, part: str) -> Tally:
        """What counts `train`, `val` or `test`, with nothing counted yet."""

    @abstractmethod
    def learn(self, batch: Batch) -> Tensor:
        """The loss of a batch, (), counted in `progress.train`."""

    @abstractmethod
    def evaluate(self, batch: Batch, part: str) -> None:
        """Count a batch in `tally[part]`; of the test set, keep what was said."""

    @abstractmethod
    def rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        """The higher, the better was the epoch that validation gave these means."""

    def metrics(self, best_epoch: int) -> AnyMetrics:
        """What the record says, once the test set has been read."""
        return metrics_of(self.kind, self.progress.history, best_epoch, self.test_means)

    def on_train_start(self) -> None:
        """From here on Lightning keeps each module's mode, through every validation."""
        if self.optim.frozen == "backbone":
            hold_statistics(self.network, self.new)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and the like draw from a generator keyed by (seed, step), whatever the model."""
        self.progress.lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        torch.manual_seed(keyed_seed("step", self.seed, self.global_step))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch, ()."""
        loss = self.learn(batch)
        self.stop_if_not_finite(loss, f"at step {self.global_step}")
        self.progress.batch += 1
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        num_images, progress = self.tally["val"].num_images, self.progress
        means = self.tally["val"].means("val")
        # Each process has evaluated: where their hardware rounds apart, the first's word counts.
        means = dict(zip(means, broadcast(*means.values()), strict=True))
        loss = means.get("val_loss", 0.0)  # detection has none
        self.stop_if_not_finite(loss, f"in validation of epoch {progress.epoch}")
        train = progress.train.of_all().means("train")
        progress.train.reset()
        row = {
            "epoch": progress.epoch,
            "step": self.global_step,
            "lr": progress.lr,
            **{name: train[name] for name in self.training_columns() if name in train},
            **means,
        }
        rank = self.rank(means, num_images)
        self.improved = rank > progress.best
        progress.end_epoch(row, rank)

    def training_columns(self) -> tuple[str, str]:
        """What a row has of training."""
        return "train_loss", f"train_{self.score.key}"

    def test_answers(self) -> Tensor:
        """What was kept of the test images, (N, ...), in the data set's order."""
        indices, said = (torch.cat(parts) for parts in zip(*self.test_batches, strict=True))
        return said[indices.argsort()]

    def on_test_epoch_end(self) -> None:
        self.test_means = self.tally["test"].means("test")

    def stop_if_not_finite(self, loss: Tensor | float, when: str) -> None:
        """Raise Diverged for NaN or infinity."""
        value = loss.item() if isinstance(loss, Tensor) else loss
        [infinite_somewhere] = all_reduce_max(not math.isfinite(value))
        if infinite_somewhere:
            where = f"the loss is {value}" if not math.isfinite(value) else "a loss is not finite"
            raise Diverged(
                f"{where} {when}: "
                f"try a smaller optim.lr (it is {self.optim.lr}) or a longer optim.warmup_epochs"
            )

    def configure_optimizers(self) -> Any:
        """SGD over groups of parameters, its rates a pure function of the step."""
        groups = parameter_groups(self.network, self.optim, self.new)
        sgd = torch.optim.SGD(
            groups,
            lr=self.optim.lr,
            momentum=self.optim.momentum,
            nesterov=self.optim.nesterov,
            fused=self.trainer.gradient_clip_val is None,  # Lightning clips for no fused one
        )
        total = self.steps_per_epoch * self.max_epochs
        warmup = round(self.steps_per_epoch * self.optim.warmup_epochs)
        factor = with_warmup(self.schedule, warmup, total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(sgd, factor)
        return {
            "optimizer": sgd,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
