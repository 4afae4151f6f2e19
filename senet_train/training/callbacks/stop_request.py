"""A search stops a run early by a file in the run's folder, under any launcher.

The run saves a checkpoint first: resumed later, it gives the bits of a run that was never stopped.
"""

import time
from pathlib import Path

import pytorch_lightning as pl

from senet_train.errors import InputError
from senet_train.system.files import write_json
from senet_train.system.foreign_files import SMALL, read_json
from senet_train.training.distributed.world import world

FILE = "stop.json"
EVERY_SECONDS = 0.2


def request_stop(run: Path, reason: str) -> None:
    """Ask the run in the folder `run` to stop."""
    write_json(run / FILE, {"reason": reason})


def withdraw_stop(run: Path) -> None:
    """Remove the request."""
    (run / FILE).unlink(missing_ok=True)


class StopOnRequest(pl.Callback):
    """Looks for a request; the processes agree on it between two steps (agreement.py)."""

    def __init__(self, run: Path) -> None:
        self.run, self.last = run, -EVERY_SECONDS

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove a request from before this start of the run: a search repeats what it needs."""
        withdraw_stop(self.run)

    def reason(self) -> str:
        """Why the run is to stop, or "". Rank 0 alone reads the file."""
        if not world().is_rank_zero or time.monotonic() - self.last < EVERY_SECONDS:
            return ""
        self.last = time.monotonic()
        try:
            return str(read_json(self.run / FILE, SMALL)["reason"])
        except (FileNotFoundError, InputError, KeyError, TypeError):
            return ""
