"""When a run saves a checkpoint, and how it resumes from it with the bits of an unbroken run.

Lightning resumes in the middle of an epoch by a state machine that skips validations and counts
some batches twice. It is not used: Lightning is told that it starts an epoch, and the data of that
epoch start at the next batch.
"""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import CheckpointIO

from senet_train.errors import Pruned
from senet_train.runs.checkpoint_files import read_checkpoint, write_checkpoint
from senet_train.runs.folder import BEST, LAST
from senet_train.system.signals import Stopped, install_handlers
from senet_train.training.data_module import DataModule
from senet_train.training.learner import Learner


class Checkpoints(Checkpoint):
    """Writes `best.ckpt`, and `last.ckpt` after each epoch and at a signal; `due` every `minutes`.

    Each holds `provenance`: what must be the same in a process that resumes from it.
    """

    def __init__(
        self, folder: Path, *, minutes: float, averaged: bool, provenance: dict[str, str]
    ) -> None:
        self.folder, self.minutes, self.averaged = folder, minutes, averaged
        self.provenance = provenance
        self.saved = time.monotonic()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, Learner)
        checkpoint["progress"] = pl_module.progress.state_dict()
        checkpoint["made_by"], checkpoint["threads"] = self.provenance, torch.get_num_threads()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, Learner)
        progress = pl_module.progress = pl_module.progress.with_state(checkpoint["progress"])
        datamodule_of(trainer).start_at(progress.epoch, progress.batch)
        step = checkpoint["global_step"]
        checkpoint["loops"]["fit_loop"] = loop_state_at(trainer, progress.epoch, step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        install_handlers()
        trainer.fit_loop.restarting = False
        if pl_module.progress.batch == datamodule_of(trainer).batches_per_epoch:
            validate_before_training(trainer)

    @property
    def due(self) -> bool:
        """Whether `minutes` have passed since the last one was saved."""
        return time.monotonic() - self.saved >= 60 * self.minutes

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        if pl_module.improved:
            # Averaged weights get into a checkpoint only if it is a full one.
            trainer.save_checkpoint(self.folder / BEST, weights_only=not self.averaged)
        self.save_last(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        # Raised between two steps: what is in memory is whole.
        if isinstance(exception, Stopped | Pruned):
            self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Replace `last.ckpt`. Raises OSError."""
        trainer.save_checkpoint(self.folder / LAST)
        self.saved = time.monotonic()


def datamodule_of(trainer: pl.Trainer) -> DataModule:
    """The trainer's DataModule, which is always ours."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, DataModule)
    return data


def loop_state_at(trainer: pl.Trainer, epoch: int, step: int) -> dict[str, Any]:
    """The state of a fit loop that starts `epoch` after `step` optimizer steps."""
    state: dict[str, Any] = trainer.fit_loop.state_dict()
    done = dict.fromkeys(("ready", "started", "processed", "completed"), epoch)
    state["epoch_progress"] = {"total": done, "current": dict(done)}
    steps = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    steps["total"].update(ready=step, completed=step)
    return state


def validate_before_training(trainer: pl.Trainer) -> None:
    """Validate and end the epoch of which every step was done when the run stopped."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    trainer.fit_loop.epoch_progress.increment_processed()
    trainer.fit_loop.epoch_progress.increment_completed()


class VerifiedCheckpointIO(CheckpointIO):
    """Writes a new file, reads it back, and only then renames it to the name of the old one.

    Every file holds `provenance`, also one of weights alone.
    """

    def __init__(self, provenance: dict[str, str]) -> None:
        self.provenance = provenance

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Raises OSError (disk full, no permission); the old file stays."""
        write_checkpoint({"made_by": self.provenance, **checkpoint}, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Always with `weights_only`: no checkpoint may run code.

        Always onto the CPU, whatever `map_location`: Lightning gives none, and then every process
        would read onto the GPU of rank 0 and keep a context there.
        """
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
