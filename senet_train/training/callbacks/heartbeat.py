"""A sign of life in status.json: on another machine no process number tells whether a run lives."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from senet_train.runs.status import renew_heartbeat

EVERY_SECONDS = 30.0


class Heartbeat(pl.Callback):
    """Renews status.json's `heartbeat` while batches, of training or evaluation, go by."""

    def __init__(self, run: Path) -> None:
        self.run, self.last = run, time.monotonic()

    def beat(self) -> None:
        """Write, if it is time."""
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
