"""Training and costs are planned figures, for tests of what a sweep does with its runs.

Everything else is the program's own: plans, folders, statuses, records, reports.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from senet_train.compare.statistics.looks import LOOKS
from senet_train.errors import Diverged, Interrupted
from senet_train.networks.cost import NetworkCost
from senet_train.runs.curves import write_rows
from senet_train.runs.metrics import Metrics
from senet_train.runs.record import Latency
from senet_train.training import make_record
from senet_train.training import plan as planning
from senet_train.training.fit import Fitted
from senet_train.training.plan import Plan

NUM_IMAGES = 10_000
NOISE = np.random.default_rng(6).normal(0, 1, (5, max(LOOKS)))
NO_DIFFERENCE: Mapping[str, tuple[float, float]] = {}


def stand_in(patch: pytest.MonkeyPatch, bench: "Bench") -> None:
    """Until the test's end, nothing of this process is trained, and no network's cost counted."""
    patch.setattr(make_record, "fit_and_test", bench.fit_and_test)
    patch.setattr(planning, "cost_at", lambda *arguments: NetworkCost(100, 10, 1000, 0))


class Bench:
    """Trains nothing: the accuracy of an arm is 90 % and what is planned for it.

    `points` has, for labels of arms, points above 90 % and the standard deviation of their noise;
    an arm that it lacks has (0, 0.1).
    """

    def __init__(self, points: Mapping[str, tuple[float, float]] = NO_DIFFERENCE) -> None:
        self.points = points
        self.made: list[str] = []
        self.diverges: set[str] = set()
        self.stop_before = 10_000

    def fit_and_test(self, plan: Plan, start: Path | None, provenance: dict[str, str]) -> Fitted:
        """In the place of senet_train.training.fit.fit_and_test."""
        name = f"{plan.identity.label} {plan.config.seed}"
        if len(self.made) == self.stop_before:
            raise Interrupted(15)
        self.made.append(name)
        if name in self.diverges:
            raise Diverged("the loss is nan")
        num_right = round(NUM_IMAGES * self.accuracy(plan.identity.label, plan.config.seed))
        right = np.packbits(np.arange(NUM_IMAGES) < num_right)
        np.savez(plan.folder.path / "correct.npz", bits=right, num_images=NUM_IMAGES)
        top1 = num_right / NUM_IMAGES
        row = {"epoch": 0, "train_loss": 1.0, "val_top1": top1, "val_loss": 1.0, "seconds": 1.0}
        write_rows(plan.folder.path, [row])
        metrics = Metrics(top1, 1.0, 1.0, top1, 1.0, top1, 1.0, 1.0, 0)
        latency = Latency(1.0, (1.0, 1.0))
        return Fitted(metrics, [1.0, 1.0], 0.0, {"1": latency, "128": latency}, 1)

    def accuracy(self, label: str, seed: int) -> float:
        """The same for the same arm and seed."""
        by, sd = self.points.get(label, (0.0, 0.1))
        row = list(self.points).index(label) if label in self.points else sum(label.encode()) % 5
        return (90 + by + sd * float(NOISE[row, seed % max(LOOKS)])) / 100

    def seeds(self) -> dict[str, int]:
        """How many runs of each arm were made."""
        return dict(Counter(name.partition(" ")[0] for name in self.made))
