"""An arm's learning curves over its seeds: the mean, and one standard deviation to both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.collect import Run

# Column of metrics.csv -> its tag, as each run has it.
CURVES = {
    "val_top1": "val/top1",
    "val_loss": "val/loss",
    "train_loss": "train/loss",
    "train_top1": "train/top1",
}


@dataclass(frozen=True)
class Curve:
    """One value for each epoch, (num_epochs,). `sd` is 0 of a single seed: it has no spread."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def curves_of(runs: Sequence[Run]) -> Mapping[str, Curve]:
    """Every column of CURVES over the runs of an arm, as far as every seed has come.

    Raises InputError for a metrics.csv that is missing or damaged.
    """
    return {column: curve_of([run.column(column) for run in runs]) for column in CURVES}


def curve_of(seeds: Sequence[Sequence[float]]) -> Curve:
    """The mean and standard deviation over seeds of unequal length."""
    shortest = min(map(len, seeds))
    values = np.array([seed[:shortest] for seed in seeds])  # (num_seeds, num_epochs)
    several = len(values) > 1
    return Curve(values.mean(0), values.std(0, ddof=1) if several else np.zeros(shortest))
