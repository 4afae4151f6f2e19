"""The LightningModule: cross-entropy, SGD, exact accuracies, and a stop when the loss explodes.

Shapes: B batch, H height, W width, K classes.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.config import Optim
from senet_train.data.loaders import Batch
from senet_train.errors import Diverged
from senet_train.keyed import keyed_seed
from senet_train.schedule import Schedule, with_warmup
from senet_train.signals import raise_pending


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

    def means(self, part: str) -> dict[str, float]:
        """`{part}_loss`, `{part}_top1`, `{part}_top5` over all images counted; then start anew."""
        loss, top1, top5, images = self.sums.tolist()
        self.sums = torch.zeros_like(self.sums)
        return {
            f"{part}_loss": loss / images,
            f"{part}_top1": top1 / images,
            f"{part}_top5": top5 / images,
        }


class ImageClassifier(pl.LightningModule):
    """Trains and evaluates a network; `history` has one row of means per epoch.

    Raises Diverged, before the weights change, when a loss is not finite.
    """

    def __init__(
        self, network: nn.Module, optim: Optim, schedule: Schedule, *, seed: int, max_epochs: int
    ) -> None:
        super().__init__()
        self.network, self.optim, self.schedule = network, optim, schedule
        self.seed, self.max_epochs = seed, max_epochs
        self.tally = {part: Tally() for part in ("train", "val", "test")}
        self.history: list[dict[str, float]] = []
        self.test_means: dict[str, float] = {}
        self.test_batches: list[tuple[Tensor, Tensor]] = []  # indices (B,), logits (B, K)
        self.best = (-1, 0.0)  # images right and minus the loss, of the best epoch so far
        self.lr = 0.0  # of the last step

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and the like draw from a generator keyed by (seed, step), whatever the model."""
        raise_pending()
        self.lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        torch.manual_seed(keyed_seed("step", self.seed, self.global_step))

    def on_validation_batch_start(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        raise_pending()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The smoothed loss of one batch, ()."""
        images, labels, _ = batch
        logits = self.network(images).float()  # (B, 3, H, W) -> (B, K)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.optim.label_smoothing)
        self.stop_if_not_finite(loss, f"at step {self.global_step}")
        self.tally["train"].add(loss.detach() * len(labels), logits.detach(), labels)
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
        num_images = self.tally["val"].num_images
        means = self.tally["val"].means("val")
        self.stop_if_not_finite(means["val_loss"], f"in validation of epoch {self.current_epoch}")
        train = self.tally["train"].means("train")
        del train["train_top5"]
        row = {
            "epoch": self.current_epoch,
            "step": self.global_step,
            "lr": self.lr,
            **train,
            **means,
        }
        self.history.append(row)
        # Read by the checkpoint callback, which keeps the highest: nothing else is logged through
        # Lightning, whose 32 bits could not tell losses apart.
        rank = (round(means["val_top1"] * num_images), -means["val_loss"])
        self.log("selection", float(self.current_epoch) if rank > self.best else -1.0)
        self.best = max(self.best, rank)

    def on_test_epoch_end(self) -> None:
        self.test_means = self.tally["test"].means("test")

    def stop_if_not_finite(self, loss: Tensor | float, when: str) -> None:
        """Raise Diverged for NaN or infinity."""
        value = loss.item() if isinstance(loss, Tensor) else loss
        if not math.isfinite(value):
            raise Diverged(
                f"the loss is {value} {when}: "
                f"try a smaller optim.lr (it is {self.optim.lr}) or a longer optim.warmup_epochs"
            )

    def configure_optimizers(self) -> Any:
        """SGD over one or two groups of parameters, its rate a pure function of the step."""
        groups = parameter_groups(self.network, self.optim)
        sgd = torch.optim.SGD(
            groups,
            lr=self.optim.lr,
            momentum=self.optim.momentum,
            nesterov=self.optim.nesterov,
            fused=self.trainer.gradient_clip_val is None,  # Lightning clips for no fused one
        )
        total = int(self.trainer.estimated_stepping_batches)
        warmup = round(total / self.max_epochs * self.optim.warmup_epochs)
        factor = with_warmup(self.schedule, warmup, total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(sgd, factor)
        return {
            "optimizer": sgd,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def parameter_groups(network: nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """Weights that decay, and (unless `decay_norm_and_bias`) vectors that do not."""
    everything = list(network.parameters())
    decayed = [p for p in everything if p.ndim > 1 or optim.decay_norm_and_bias]
    vectors = [p for p in everything if p.ndim <= 1 and not optim.decay_norm_and_bias]
    groups = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
