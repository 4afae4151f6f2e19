"""What the processes of a run, and a host and its GPU, have to tell each other between two steps.

Whether a loss was not finite, a signal has arrived, a search has asked to stop, or a checkpoint is
due: all processes must act on it after the same step. Asking stops a GPU until the host goes on, so
it is done every few steps, in one exchange, and after the first and the last step of an epoch. What
follows the last one, a validation and a checkpoint, never has a loss before it that is not finite.
"""

import time
from typing import Any

import pytorch_lightning as pl

from senet_train.errors import Pruned
from senet_train.system.signals import Stopped, pending_signal
from senet_train.training.callbacks.checkpoints import Checkpoints
from senet_train.training.callbacks.speed import SpeedMeter
from senet_train.training.callbacks.stop_request import StopOnRequest
from senet_train.training.distributed.collectives import all_reduce_max
from senet_train.training.distributed.world import world
from senet_train.training.learner import Learner

EVERY_SECONDS = 0.5  # a signal is answered as soon
MOST_STEPS = 100  # batches between two exchanges


class Agreement(pl.Callback):
    """Asks all processes after some of the steps, and acts as all of them do.

    It raises Diverged, Pruned or Stopped, and saves a checkpoint that is due. One process on a CPU
    waits for nobody: it asks after every step. It comes after all that a checkpoint holds.
    """

    def __init__(self, speed: SpeedMeter, stop: StopOnRequest, checkpoints: Checkpoints) -> None:
        self.speed, self.stop, self.checkpoints = speed, stop, checkpoints
        self.every = 1  # batches between two exchanges, the same on all processes
        self.steps, self.since = 0, 0.0  # the batches since the last exchange, and its time
        self.starts_epoch = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lightning would ask all processes in every step whether it has handled a SIGTERM.

        It handles none: `install_handlers` has taken its handlers away.
        """
        steps: Any = trainer.fit_loop.epoch_loop
        steps._broadcast_sigterm_tensor = lambda: None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.steps, self.since = 0, time.monotonic()
        self.starts_epoch = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        assert isinstance(pl_module, Learner)
        self.steps += 1
        batch = pl_module.progress.batch
        if batch % pl_module.optim.accumulate:
            return  # a checkpoint holds no gradients: it is made between two steps of the optimizer
        ends_epoch = batch == pl_module.batches_per_epoch
        if self.starts_epoch or ends_epoch or self.steps >= self.every:
            self.agree(trainer, pl_module)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, i: int, *_: Any
    ) -> None:
        if world().size == 1 or i % self.every == 0:
            raise_if_signalled(*all_reduce_max(pending_signal() or 0))

    def agree(self, trainer: pl.Trainer, module: Learner) -> None:
        """One exchange; before the device is waited for, which a lost process may block."""
        reason = self.stop.reason() if module.progress.history else ""
        seconds, signum, due, stops = all_reduce_max(
            (time.monotonic() - self.since) / self.steps,
            pending_signal() or 0,
            self.checkpoints.due,
            bool(reason),
        )
        module.raise_if_diverged()
        self.speed.record()
        self.starts_epoch, self.steps, self.since = False, 0, time.monotonic()
        self.every = 1 if waits_for_nobody(module) else steps_in(EVERY_SECONDS, seconds)
        if stops:
            raise Pruned(reason, module.best_score())
        raise_if_signalled(signum)
        if due:
            self.checkpoints.save_last(trainer)


def waits_for_nobody(module: Learner) -> bool:
    """Whether asking costs nothing: there is no GPU, and no other process."""
    return module.device.type == "cpu" and world().size == 1


def steps_in(seconds: float, seconds_per_step: float) -> int:
    """How many steps take so long, at least 1 and at most MOST_STEPS."""
    return max(1, min(MOST_STEPS, int(seconds / seconds_per_step)))


def raise_if_signalled(signum: float) -> None:
    """Raise Stopped for the number of a signal; 0 is none."""
    if signum:
        raise Stopped(int(signum))
