"""How often a step of senet-train makes its host wait for the GPU, as PyTorch counts it.

python waits.py SETTING... trains, and prints the steps, the waits and their places as JSON.
"""

import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from senet_train.cli import main
from senet_train.training import fit
from senet_train.training.plan import Plan

SAID = "called a synchronizing CUDA operation"


class Watch(pl.Callback):
    """PyTorch warns of every wait, from the second epoch's second step to its validation."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        if trainer.current_epoch == 1 and arguments[-1] > 0:
            self.steps += 1
            warn_of_waits(True)

    def on_validation_start(self, *arguments: Any) -> None:
        warn_of_waits(False)


def warn_of_waits(watched: bool) -> None:
    """Have PyTorch warn, or not. A CPU has nothing to wait for."""
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("warn" if watched else "default")


def places(caught: Iterable[warnings.WarningMessage]) -> Counter[str]:
    """How often there was a wait, by file and line."""
    return Counter(
        f"{Path(each.filename).name}:{each.lineno}" for each in caught if SAID in str(each.message)
    )


def watch(argv: list[str]) -> dict[str, Any]:
    """Train, and count. Raises SystemExit where the training fails."""
    watch = Watch()

    def observers(plan: Plan) -> list[pl.Callback]:
        return [watch]

    fit.progress_bar = observers
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if code := main(argv):
            raise SystemExit(code)
    found = places(caught)
    return {"steps": watch.steps, "waits": found.total(), "places": dict(found.most_common())}


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[1:])))
