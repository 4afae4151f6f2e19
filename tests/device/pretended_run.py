"""A whole run on the pretended GPU, in Lightning's own loop, and what was counted in its parts."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from device.pretended_gpu import Counts, device, pretended_gpu
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from support import config

from senet_train.data import placement
from senet_train.runs.checkpoint_files import read_checkpoint
from senet_train.training import fit
from senet_train.training.callbacks import agreement
from senet_train.training.plan import Plan, make_plan


class PretendedAccelerator(CPUAccelerator):
    def setup_device(self, device: Any) -> None:
        """The CPU's refuses every device but itself."""


class Parts(pl.Callback):
    """Begins new counts where a part of the run begins. It must be the first callback."""

    def __init__(self, begin: Callable[[], Counts]) -> None:
        self.begin = begin
        self.counts: dict[str, list[Counts]] = {"start": [begin()]}
        self.seen: list[str] = []  # the callbacks of the training

    def part(self, name: str) -> None:
        self.counts.setdefault(name, []).append(self.begin())

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen = [type(callback).__name__ for callback in trainer.callbacks]  # type: ignore[attr-defined]

    def on_train_epoch_start(self, *_: Any) -> None:
        self.part("training")

    def on_validation_start(self, *_: Any) -> None:
        self.part("validation")

    def on_train_end(self, *_: Any) -> None:
        self.part("between")

    def on_test_start(self, *_: Any) -> None:
        self.part("test")

    def on_test_end(self, *_: Any) -> None:
        self.part("end")

    def of(self, kind: str, *parts: str) -> Counter[str]:
        """The counts of a kind, all epochs together; of the whole run if no part is named."""
        chosen = (counts for part in parts or self.counts for counts in self.counts.get(part, []))
        return sum((getattr(counts, kind) for counts in chosen), Counter())


@dataclass(frozen=True)
class Run:
    """A run that has ended, or was stopped: what was counted, and the folder that it filled."""

    plan: Plan
    parts: Parts
    fitted: fit.Fitted | None

    def checkpoint(self, name: str = "last.ckpt") -> dict[str, Any]:
        return read_checkpoint(self.plan.folder.checkpoints / name)


def train(
    words: Sequence[str],
    *callbacks: pl.Callback,
    start: Path | None = None,
    free_bytes: int = 10**9,
    stopped_by: type[BaseException] | tuple[()] = (),
) -> Run:
    """Train and test what `words` say, on a pretended GPU with so much free memory.

    The run asks the device after the first and the last step of an epoch alone.
    """
    plan = make_plan(config("trainer.kernel=composed", *words))
    plan.folder.checkpoints.mkdir(parents=True, exist_ok=True)
    real = pl.Trainer
    with pretended_gpu() as begin, pytest.MonkeyPatch.context() as patch:
        parts = Parts(begin)

        def on_pretended_gpu(**settings: Any) -> pl.Trainer:
            for name in ("accelerator", "devices", "num_nodes"):
                settings.pop(name)
            settings["strategy"] = SingleDeviceStrategy(
                device(), accelerator=PretendedAccelerator()
            )
            settings["callbacks"] = [parts, *settings["callbacks"], *callbacks]
            return real(**settings)

        patch.setattr(fit.pl, "Trainer", on_pretended_gpu)
        patch.setattr(placement, "free_bytes", lambda device: free_bytes)
        patch.setattr(agreement, "steps_in", lambda seconds, seconds_per_step: 1000)
        try:
            return Run(plan, parts, fit.fit_and_test(plan, start, {}))
        except stopped_by:
            return Run(plan, parts, None)
