"""What a logger is: it opens sinks, which take the numbers of a run after every epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from senet_train.runs.metrics import CHOSEN
from senet_train.runs.status import State

Points = Mapping[str, float]  # of one epoch, by their tags: `train/loss`, `val/top1`, `lr`


@dataclass(frozen=True)
class LoggedRun:
    """What a logger is told of a run: where it lies, what it is called, and what it is made of.

    `group` is of all runs of a study. `marks` say which run it is: its folder, its identity, and
    the plan that counts it. `final` has the metrics of the record, by their tags.
    """

    folder: Path
    output_dir: Path
    name: str
    group: str
    hyperparameters: Mapping[str, int | float | str]
    marks: Mapping[str, str]
    final: Mapping[str, str]


class Sink:
    """Takes what a run reports; of each kind nothing, unless a sink says otherwise."""

    def write(self, points: Points, epoch: int) -> None:
        """The numbers of an epoch."""

    def write_final(self, points: Points, best_epoch: int) -> None:
        """The metrics of the record."""

    def close(self, state: State) -> None:
        """The end, and how the run has ended."""

    def write_histogram(self, tag: str, values: NDArray[np.float32], epoch: int) -> None:
        """A histogram of `values`, (N,) and N > 0."""

    def write_picture(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        """A picture, (H, W, 3)."""


class Logger(Protocol):
    """One of the options of `logger`. Its keyword-only parameters are those of its file in conf/.

    Its constructor raises InputError for what cannot be: before anything is written.
    """

    def open(self, run: LoggedRun, points: Sequence[Points]) -> list[Sink]:
        """The sinks of a run that begins, or goes on behind the epochs of these points."""


def points_of(row: Mapping[str, float]) -> dict[str, float]:
    """Every number of a row of metrics.csv as `part/metric`."""
    found = {}
    for name, value in row.items():
        if name not in ("epoch", "step", CHOSEN):
            part, _, metric = name.partition("_")
            tag = f"{part}/{metric}" if part in ("train", "val") else f"speed/{name}"
            found["lr" if name == "lr" else tag] = value
    return found
