"""A whole run on the pretended GPU, in Lightning's own loop, and what was counted in its parts."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from device.pretended_gpu import Counts, device, pretended_gpu
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from support import config

from senet_train.data import placement
from senet_train.training import fit
from senet_train.training.plan import make_plan


class PretendedAccelerator(CPUAccelerator):
    def setup_device(self, device: Any) -> None:
        """The CPU's refuses every device but itself."""


class Parts(pl.Callback):
    """Begins new counts where a part of the run begins."""

    def __init__(self, begin: Callable[[], Counts]) -> None:
        self.begin = begin
        self.counts: dict[str, list[Counts]] = {"setup": [begin()]}

    def part(self, name: str) -> None:
        self.counts.setdefault(name, []).append(self.begin())

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

    def of(self, kind: str, *parts: str) -> dict[str, int]:
        """The counts of a kind, of all epochs together."""
        total: dict[str, int] = {}
        for part in parts or self.counts:
            for counts in self.counts.get(part, []):
                for what, number in getattr(counts, kind).items():
                    total[what] = total.get(what, 0) + number
        return total


def train(
    words: Sequence[str], *more: pl.Callback, start: Path | None = None, memory: int = 10**9
) -> tuple[Any, Parts]:
    """Train and test what `words` say on the pretended GPU: what `fit_and_test` returns, and the
    counts."""
    plan = make_plan(config(*words))
    plan.folder.checkpoints.mkdir(parents=True, exist_ok=True)
    real = pl.Trainer
    with pretended_gpu() as begin, pytest.MonkeyPatch.context() as patch:
        parts = Parts(begin)

        def on_gpu(**settings: Any) -> pl.Trainer:
            for name in ("accelerator", "devices", "num_nodes"):
                settings.pop(name)
            settings["strategy"] = SingleDeviceStrategy(
                device(), accelerator=PretendedAccelerator()
            )
            settings["callbacks"] = [parts, *settings["callbacks"], *more]
            return real(**settings)

        patch.setattr(fit.pl, "Trainer", on_gpu)
        patch.setattr(placement, "free_bytes", lambda device: memory)
        return fit.fit_and_test(plan, start, {}), parts
