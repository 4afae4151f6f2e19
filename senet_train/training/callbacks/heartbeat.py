"""A heartbeat in status.json: a process number says nothing of a run on another machine."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from senet_train.runs.status import renew_heartbeat

EVERY_SECONDS = 30.0


class Heartbeat(pl.Callback):
    """Renews the `heartbeat` of status.json during training and evaluation."""

    def __init__(self, run: Path) -> None:
        self.run, self.last = run, time.monotonic()

    def beat(self) -> None:
        """Renew it if EVERY_SECONDS have passed."""
        if time.monotonic() - self.last >= EVERY_SECONDS:
            self.last = time.monotonic()
            renew_heartbeat(self.run)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        self.beat()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        self.beat()

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        self.beat()
