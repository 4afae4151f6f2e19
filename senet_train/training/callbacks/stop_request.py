"""A run stops early when a small file in its folder asks for it, whoever launched it.

The run saves itself first: trained on later, it gives the bits of a run that was never stopped.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from senet_train.errors import Pruned
from senet_train.system.files import write_json
from senet_train.training.distributed.collectives import all_reduce_max
from senet_train.training.distributed.world import world
from senet_train.training.learner import Learner

FILE = "stop.json"
EVERY_SECONDS = 0.2


def ask_to_stop(run: Path, reason: str) -> None:
    """Ask the run that is being made in the folder `run`."""
    write_json(run / FILE, {"reason": reason})


def withdraw(run: Path) -> None:
    """Ask no longer."""
    (run / FILE).unlink(missing_ok=True)


class StopOnRequest(pl.Callback):
    """Raises Pruned between two steps, where what is in memory may be saved."""

    def __init__(self, run: Path) -> None:
        self.run, self.last = run, -EVERY_SECONDS

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget a request to an earlier try: who still wants it asks again."""
        withdraw(self.run)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Learner)
        history = pl_module.progress.history
        reason = self.reason() if history else ""
        if any(all_reduce_max(bool(reason))):
            raise Pruned(reason, max(row[f"val_{pl_module.score.key}"] for row in history))

    def reason(self) -> str:
        """Why the run is to stop; "" if it is not. Of several processes the first looks."""
        if not world().is_rank_zero or time.monotonic() - self.last < EVERY_SECONDS:
            return ""
        self.last = time.monotonic()
        try:
            return str(json.loads((self.run / FILE).read_text())["reason"])
        except FileNotFoundError:
            return ""
