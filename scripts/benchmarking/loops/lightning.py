"""Lightning's plain Trainer with torchvision's loader: the common template."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarking.flags import Flags, sgd
from benchmarking.pil_images import torchvision_loader
from benchmarking.workload import Workload


class Template(pl.LightningModule):
    """What a Lightning tutorial writes."""

    def __init__(self, network: nn.Module, flags: Flags) -> None:
        super().__init__()
        self.network, self.flags = network, flags

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        images, labels = self.flags.lay_out(images, labels)
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_top1", (logits.argmax(1) == labels).float().mean(), on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return sgd(self.network, self.flags)


class Told(pl.Callback):
    """Calls back after every step: Lightning's loop is not ours to yield from."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.tell()


def train(network: nn.Module, workload: Workload, flags: Flags, tell: Callable[[], None]) -> None:
    """As the template trains."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    trainer = pl.Trainer(
        accelerator="gpu" if flags.device == "cuda" else "cpu",
        max_epochs=-1,
        precision="bf16-mixed" if flags.precision == "bf16" else "32-true",
        callbacks=[Told(tell)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    module = Template(flags.prepare(network), flags)
    trainer.fit(module, torchvision_loader(workload, flags))
