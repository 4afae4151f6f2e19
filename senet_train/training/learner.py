"""The LightningModule that all tasks share: a row of means per epoch, a stop at infinite loss.

A task defines the loss of a batch, the sums for its metrics, and which epoch is the best.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from senet_train.config.schema import Optim
from senet_train.data.loaders import Batch
from senet_train.errors import Diverged
from senet_train.keyed import seed_draws
from senet_train.networks.kernels.compiled import Forward
from senet_train.networks.mirror import TestFlips
from senet_train.runs.metrics import CHOSEN, AnyMetrics, metrics_of
from senet_train.training.distributed.collectives import broadcast, gather
from senet_train.training.loss_guard import LossGuard
from senet_train.training.optimizers import build_optimizer
from senet_train.training.parameters import (
    EVERYTHING,
    freeze_backbone,
    freeze_batch_norms,
    parameter_groups,
)
from senet_train.training.precision import overflows, scaler_of
from senet_train.training.progress import MetricSums, Progress
from senet_train.training.schedule import Schedule, with_warmup


class Learner(pl.LightningModule, ABC):
    """Trains and evaluates a network; `progress.history` has one row of means per epoch.

    `new` are the prefixes of the parameters outside the backbone, for `optim.frozen` and
    `optim.backbone_lr_factor`. `compiled` computes in a training step what the network would.
    `score` (trainer.score) tells which epoch is the best; `auto` is the task's own. `test_flips` is
    of validation and test.
    Raises Diverged, before the weights change, if a loss is not finite.
    """

    kind: ClassVar[type[AnyMetrics]]
    class_weights: Tensor | None  # (K,), of the loss; None counts all images alike
    final_metrics: ClassVar[tuple[str, ...]]  # of the record, for TensorBoard's HPARAMS tab

    def __init__(
        self,
        network: nn.Module,
        optim: Optim,
        schedule: Schedule,
        *,
        seed: int,
        max_epochs: int,
        steps_per_epoch: int,
        num_classes: int,
        score: str = "auto",
        test_flips: TestFlips = "none",
        new: tuple[str, ...] = EVERYTHING,
        compiled: Forward | None = None,
    ) -> None:
        super().__init__()
        self.new, self.num_classes, self.test_flips = new, num_classes, test_flips
        self.score, self.chosen_by = self.kind.score_called(score), score
        self.network: Any = network  # each task has its own type
        self.compiled = compiled
        self.register_buffer("class_weights", None, persistent=False)
        self.optim, self.schedule = optim, schedule
        self.seed, self.max_epochs, self.steps_per_epoch = seed, max_epochs, steps_per_epoch
        self.batches_per_epoch = steps_per_epoch * optim.accumulate
        if optim.frozen == "backbone":
            freeze_backbone(network, new)
        self.progress = Progress(self.new_sums("train"))
        self.improved = False  # whether the last epoch validated is the best so far
        self.sums = {part: self.new_sums(part) for part in ("val", "test")}
        self.test_means: dict[str, float] = {}
        self.test_batches: list[tuple[Tensor, Tensor]] = []  # indices (B,) and predictions (B, ...)

    @abstractmethod
    def new_sums(self, part: str) -> MetricSums:
        """Empty sums for the metrics of `part`, which is `train`, `val` or `test`."""

    @abstractmethod
    def training_loss(self, batch: Batch) -> Tensor:
        """The loss of a batch, (). Adds the batch to `progress.train`."""

    @abstractmethod
    def evaluate(self, batch: Batch, part: str) -> None:
        """Add a batch to `sums[part]`, and keep its predictions if it is of the test set."""

    @abstractmethod
    def epoch_rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        """What tells which epoch is the best: the highest is, in the order of the tuple."""

    def in_training(self, images: Tensor) -> Any:
        """What the network computes in a training step of images (B, 3, H, W)."""
        return self.network(images) if self.compiled is None else self.compiled(images)

    def metrics(self, best_epoch: int) -> AnyMetrics:
        """The metrics for the record, once the network has been tested."""
        return metrics_of(self.kind, self.progress.history, best_epoch, self.test_means)

    def see_training(self, labels: Tensor) -> None:
        """Told, before training, the labels (N,) of the training images."""
        return

    def with_test(self, metrics: AnyMetrics, labels: Any, class_names: Sequence[str]) -> AnyMetrics:
        """The metrics with what follows from all predictions for the test set; rank 0 alone."""
        return metrics

    def on_train_start(self) -> None:
        """Freeze the statistics here: from now on Lightning keeps the mode of every module."""
        if self.optim.frozen == "backbone":
            freeze_batch_norms(self.network, self.new)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the generator (of dropout, say) by run and batch: the same for every model."""
        self.progress.lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        number = self.progress.epoch * self.batches_per_epoch + self.progress.batch
        seed_draws(self.device, "step", self.seed, number)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch, ()."""
        loss = self.training_loss(batch)
        self.guard.see(loss)
        self.progress.batch += 1
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate_if_any(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate_if_any(batch, "test")

    def evaluate_if_any(self, batch: Batch, part: str) -> None:
        """Evaluate a batch, unless it has no images: other processes may have one batch more."""
        if len(batch[2]):
            self.evaluate(batch, part)

    def on_validation_epoch_end(self) -> None:
        sums, progress = self.sums["val"].all_reduced(), self.progress
        self.sums["val"].reset()
        num_images, means = sums.num_images, sums.compute("val")
        # Should the processes round differently, rank 0 decides.
        means = dict(zip(means, broadcast(*means.values()), strict=True))
        loss = means.get("val_loss", 0.0)  # detection has none
        if not math.isfinite(loss):  # on every process: they are rank 0's means
            raise self.diverged(loss, f"in validation of epoch {progress.epoch}")
        train = progress.train.all_reduced().compute("train")
        progress.train.reset()
        row = {
            "epoch": progress.epoch,
            "step": self.global_step,
            "lr": progress.lr,
            **{name: train[name] for name in self.training_columns() if name in train},
            **means,
            **({} if self.chosen_by == "auto" else {CHOSEN: means[f"val_{self.score.key}"]}),
        }
        rank = self.epoch_rank(means, num_images)
        self.improved = rank > progress.best
        progress.end_epoch(row, rank)

    def training_columns(self) -> tuple[str, str]:
        """The columns of a row that are means over training."""
        return "train_loss", f"train_{self.kind.own_score.key}"

    def test_predictions(self) -> Tensor:
        """The predictions for the test images, (N, ...), in the order of the data set.

        Rank 0 has them once the test has ended.
        """
        indices, predicted = (torch.cat(parts) for parts in zip(*self.test_batches, strict=True))
        return predicted[indices.argsort()]

    def on_test_epoch_end(self) -> None:
        self.test_means = self.sums["test"].all_reduced().compute("test")
        indices, predicted = ([batch[i] for batch in self.test_batches] for i in (0, 1))
        self.test_batches = list(zip(gather(indices), gather(predicted), strict=True))

    def best_score(self) -> float:
        """The highest validation score so far."""
        return max(row[f"val_{self.score.key}"] for row in self.progress.history)

    def raise_if_diverged(self) -> None:
        """Raise Diverged on every process if a loss was not finite; waits for the device.

        The weights are then those from before that loss.
        """
        if found := self.guard.ask():
            steps_ago = math.ceil(found.batches_ago / self.optim.accumulate)
            raise self.diverged(found.value, f"at step {self.global_step - steps_ago}")
        if overflows(self.trainer):
            raise Diverged(
                f"the gradients overflow float16 at step {self.global_step - 1}, however small the "
                "loss scale: try trainer.precision=32, or a smaller optim.lr "
                f"(it is {self.optim.lr})"
            )

    def diverged(self, loss: float | None, when: str) -> Diverged:
        """The error for a loss that is not finite; None if only another process knows it."""
        where = "a loss is not finite" if loss is None else f"the loss is {loss}"
        return Diverged(
            f"{where} {when}: "
            f"try a smaller optim.lr (it is {self.optim.lr}) or a longer optim.warmup_epochs"
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of all gradients, if asked to.

        Lightning refuses to clip for a fused optimizer, which takes off a loss scale by itself.
        Here it is taken off before, and the optimizer then finds none.
        """
        if gradient_clip_val is None:
            return
        if scaler := scaler_of(self.trainer):
            scaler.unscale_(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """The optimizer of groups of parameters: their rates are a pure function of the step."""
        groups = parameter_groups(self.network, self.optim, self.new)
        self.guard = LossGuard(self.device)
        optimizer = build_optimizer(self.optim, groups, self.guard.halted)
        total = self.steps_per_epoch * self.max_epochs
        warmup = round(self.steps_per_epoch * self.optim.warmup_epochs)
        factor = with_warmup(self.schedule, warmup, total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
