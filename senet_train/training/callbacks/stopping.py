"""Rules that end training before its last epoch: patience, and a budget of time.

They are asked after each validation. What they decided is in the checkpoint: a run that is killed
afterwards trains no further epoch when it goes on.
"""

import logging
from typing import Any

import pytorch_lightning as pl

from senet_train.config.schema import Trainer
from senet_train.runs.record import Ended
from senet_train.training.callbacks.speed import SpeedMeter
from senet_train.training.distributed.collectives import broadcast
from senet_train.training.distributed.world import world
from senet_train.training.learner import Learner
from senet_train.training.progress import Progress

log = logging.getLogger("senet_train")


class StoppingRules(pl.Callback):
    """Ends training by `trainer.patience` and `trainer.max_minutes`; before what saves checkpoints.

    `seconds` is the time of training of all epochs, without validation, as in metrics.csv.
    """

    def __init__(self, settings: Trainer, speed: SpeedMeter) -> None:
        self.settings, self.speed = settings, speed
        self.seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that was stopped before it was killed has nothing more to train."""
        assert isinstance(pl_module, Learner)
        trainer.should_stop = bool(pl_module.progress.stopped)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        progress = pl_module.progress
        [self.seconds] = broadcast(self.seconds + self.speed.epoch_seconds)  # rank 0 decides
        if progress.epoch >= self.settings.max_epochs:
            return
        progress.stopped = stopping_rule(self.settings, progress, self.seconds)
        if progress.stopped:
            trainer.should_stop = True
            rule = f"trainer.{progress.stopped}={getattr(self.settings, progress.stopped)}"
            if world().is_rank_zero:
                log.info("training ends after epoch %d by %s", progress.epoch, rule)


def stopping_rule(settings: Trainer, progress: Progress, seconds: float) -> str:
    """The rule that ends training after `progress.epoch` epochs and so many seconds, or ""."""
    since_best = progress.epoch - 1 - progress.best_epoch
    if settings.patience != "none" and since_best >= settings.patience:
        return "patience"
    if settings.max_minutes != "none" and seconds >= 60 * settings.max_minutes:
        return "max_minutes"
    return ""


def ended(progress: Progress) -> Ended:
    """How training has ended."""
    return Ended(progress.epoch, progress.stopped or "max_epochs")
