"""When a run saves itself, and how it goes on from there as if it had never stopped.

Lightning restarts in the middle of an epoch by a state machine that skips validations and counts
some batches twice. It is not used: Lightning is told that it starts an epoch, and the epoch's data
start at the batch that is next.
"""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EMAWeightAveraging

from senet_train.data.loaders import DataModule
from senet_train.errors import Pruned
from senet_train.runs.checkpoint_files import BEST, LAST
from senet_train.system.signals import Stopped, listen, pending
from senet_train.training.distributed.collectives import all_reduce_max
from senet_train.training.learner import Learner


class Checkpoints(Checkpoint):
    """Keeps `best.ckpt`, and `last.ckpt` at each epoch's end, every `minutes`, and at a signal.

    `made_by` goes into each: what must be the same for another process to go on from it.
    """

    def __init__(
        self, folder: Path, *, minutes: float, averaged: bool, made_by: dict[str, str]
    ) -> None:
        self.folder, self.minutes, self.averaged, self.made_by = folder, minutes, averaged, made_by
        self.saved = time.monotonic()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, Learner)
        checkpoint["progress"] = pl_module.progress.as_plain()
        checkpoint["made_by"], checkpoint["threads"] = self.made_by, torch.get_num_threads()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, Learner)
        progress = pl_module.progress = pl_module.progress.gone_on_with(checkpoint["progress"])
        data_of(trainer).start_at(progress.epoch, progress.batch)
        step = checkpoint["global_step"]
        checkpoint["loops"]["fit_loop"] = at_start_of(trainer, progress.epoch, step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        listen()
        trainer.fit_loop.restarting = False
        if pl_module.progress.batch == data_of(trainer).steps_per_epoch:
            validate_late(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        raise_agreed()

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        raise_agreed()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        if any(all_reduce_max(time.monotonic() - self.saved >= 60 * self.minutes)):
            self.save_last(trainer)

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


def raise_agreed() -> None:
    """Raise Stopped if a signal has come to any of the processes: they must stop at one step."""
    [signum] = all_reduce_max(pending() or 0)
    if signum:
        raise Stopped(int(signum))


class Averaging(EMAWeightAveraging):
    """Lightning's average of the weights, which is in the network while validation lasts."""

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if trainer.validating:
            self.on_validation_epoch_end(trainer, pl_module)  # exchanges the two again


def data_of(trainer: pl.Trainer) -> DataModule:
    """The trainer's data, which are always ours."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, DataModule)
    return data


def at_start_of(trainer: pl.Trainer, epoch: int, step: int) -> dict[str, Any]:
    """The state of a fit loop that has yet to start `epoch`, `step` optimizer steps done."""
    state: dict[str, Any] = trainer.fit_loop.state_dict()
    done = dict.fromkeys(("ready", "started", "processed", "completed"), epoch)
    state["epoch_progress"] = {"total": done, "current": dict(done)}
    steps = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    steps["total"].update(ready=step, completed=step)
    return state


def validate_late(trainer: pl.Trainer) -> None:
    """Validate the epoch whose steps were all done when the run stopped, and end it."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    trainer.fit_loop.epoch_progress.increment_processed()
    trainer.fit_loop.epoch_progress.increment_completed()
