"""An arm's learning curves: mean and standard deviation over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.collect import Run
from senet_train.runs.metrics import Score


def tags_of(score: Score) -> dict[str, str]:
    """Column of metrics.csv -> its tag in a run's own event file; detection lacks some columns."""
    return {
        f"val_{score.key}": f"val/{score.key}",
        "val_loss": "val/loss",
        "train_loss": "train/loss",
        f"train_{score.key}": f"train/{score.key}",
    }


@dataclass(frozen=True)
class Curve:
    """One value for each epoch, (num_epochs,); `sd` is 0 for a single seed."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def curves_of(runs: Sequence[Run]) -> Mapping[str, Curve]:
    """Tag -> each curve that the runs of an arm have, up to the last epoch that all seeds have.

    Raises InputError for a metrics.csv that is missing or damaged.
    """
    present = runs[0].columns()
    return {
        tag: curve_of([run.column(column) for run in runs])
        for column, tag in tags_of(runs[0].record.metrics.score).items()
        if column in present
    }


def curve_of(seeds: Sequence[Sequence[float]]) -> Curve:
    """The mean and standard deviation over seeds, up to the shortest curve's end."""
    shortest = min(map(len, seeds))
    values = np.array([seed[:shortest] for seed in seeds])  # (num_seeds, num_epochs)
    several = len(values) > 1
    return Curve(values.mean(0), values.std(0, ddof=1) if several else np.zeros(shortest))
