"""The LightningModule: cross-entropy, SGD, exact accuracies, and a stop when the loss explodes.

Shapes: B batch, H height, W width, K classes.
"""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.agreement import largest, of_first
from senet_train.config import Optim
from senet_train.data.loaders import Batch
from senet_train.errors import Diverged
from senet_train.finetune import EVERYTHING, freeze_backbone, hold_statistics
from senet_train.keyed import keyed_seed
from senet_train.progress import Progress, Tally
from senet_train.schedule import Schedule, with_warmup


class ImageClassifier(pl.LightningModule):
    """Trains and evaluates a network; `progress.history` has one row of means per epoch.

    `new` begins the names of what is no backbone, for `optim.frozen` and `backbone_lr_factor`.
    Raises Diverged, before the weights change, when a loss is not finite.
    """

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
        self.network, self.optim, self.schedule = network, optim, schedule
        self.seed, self.max_epochs, self.steps_per_epoch = seed, max_epochs, steps_per_epoch
        if optim.frozen == "backbone":
            freeze_backbone(network, new)
        self.progress = Progress()
        self.improved = False  # whether the last epoch validated is the best so far
        self.tally = {part: Tally() for part in ("val", "test")}
        self.test_means: dict[str, float] = {}
        self.test_batches: list[tuple[Tensor, Tensor]] = []  # indices (B,), logits (B, K)

    def on_train_start(self) -> None:
        """From here on Lightning keeps each module's mode, through every validation."""
        if self.optim.frozen == "backbone":
            hold_statistics(self.network, self.new)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and the like draw from a generator keyed by (seed, step), whatever the model."""
        self.progress.lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        torch.manual_seed(keyed_seed("step", self.seed, self.global_step))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The smoothed loss of one batch, ()."""
        images, labels, _ = batch
        logits = self.network(images).float()  # (B, 3, H, W) -> (B, K)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.optim.label_smoothing)
        self.stop_if_not_finite(loss, f"at step {self.global_step}")
        self.progress.train.add(loss.detach() * len(labels), logits.detach(), labels)
        self.progress.batch += 1
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        _, _, indices = batch
        self.test_batches.append((indices.cpu(), self.evaluate(batch, "test").cpu()))

    def test_logits(self) -> Tensor:
        """What the network said of the test images, (N, K), in the data set's order."""
        indices, logits = (torch.cat(parts) for parts in zip(*self.test_batches, strict=True))
        return logits[indices.argsort()]

    def evaluate(self, batch: Batch, part: str) -> Tensor:
        """Count one batch without smoothing; its logits (B, K)."""
        images, labels, _ = batch
        logits: Tensor = self.network(images).float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self.tally[part].add(loss, logits, labels)
        return logits

    def on_validation_epoch_end(self) -> None:
        num_images, progress = self.tally["val"].num_images, self.progress
        means = self.tally["val"].means("val")
        # Each process has evaluated: where their hardware rounds apart, the first's word counts.
        means = dict(zip(means, of_first(*means.values()), strict=True))
        self.stop_if_not_finite(means["val_loss"], f"in validation of epoch {progress.epoch}")
        train = progress.train.of_all().means("train")
        progress.train.reset()
        del train["train_top5"]
        row = {
            "epoch": progress.epoch,
            "step": self.global_step,
            "lr": progress.lr,
            **train,
            **means,
        }
        rank = (round(means["val_top1"] * num_images), -means["val_loss"])
        self.improved = rank > progress.best
        progress.end_epoch(row, rank)

    def on_test_epoch_end(self) -> None:
        self.test_means = self.tally["test"].means("test")

    def stop_if_not_finite(self, loss: Tensor | float, when: str) -> None:
        """Raise Diverged for NaN or infinity."""
        value = loss.item() if isinstance(loss, Tensor) else loss
        [infinite_somewhere] = largest(not math.isfinite(value))
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


def parameter_groups(
    network: nn.Module, optim: Optim, new: tuple[str, ...] = EVERYTHING
) -> list[dict[str, Any]]:
    """Weights that decay, and (unless `decay_norm_and_bias`) vectors that do not.

    The backbone has groups of its own, the last ones, if its rate is another.
    """
    slower = optim.backbone_lr_factor != 1
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    first = [p for name, p in named if name.startswith(new) or not slower]
    backbone = [p for name, p in named if slower and not name.startswith(new)]
    lr = optim.lr * optim.backbone_lr_factor
    return [
        *decaying_groups(first, optim),
        *({**group, "lr": lr} for group in decaying_groups(backbone, optim)),
    ]


def decaying_groups(parameters: list[nn.Parameter], optim: Optim) -> list[dict[str, Any]]:
    """One or two of them, by whether they decay; none without parameters."""
    decayed = [p for p in parameters if p.ndim > 1 or optim.decay_norm_and_bias]
    vectors = [p for p in parameters if p.ndim <= 1 and not optim.decay_norm_and_bias]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
