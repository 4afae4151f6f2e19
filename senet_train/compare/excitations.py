"""What senet-inspect found in the runs of an arm: a row for each stage, the mean over runs."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from senet_train.compare.collect import Run, readable
from senet_train.compare.comparison import StageGates

# What senet-inspect leaves in a run's folder, and the columns of it that are read here.
FOLDER = "inspect"
LAYERS, MEASURED = "layers.csv", ("mean", "sd_over_images", "constant", "between_classes")
KNOCKOUTS, LOST = "knockouts.csv", ("held_points",)


Rows = list[tuple[int, list[float]]]  # a stage and its figures


def excitations_of(runs: Iterable[Run]) -> list[StageGates]:
    """Of the runs that senet-inspect has looked at, each stage. Raises InputError for damage."""
    folders = [run.path / FOLDER for run in runs]
    seen = [read(folder / LAYERS, MEASURED) for folder in folders if (folder / LAYERS).is_file()]
    knocked = [read(file, LOST) for f in folders if (file := f / KNOCKOUTS).is_file()]
    layers, losses = ([row for table in tables for row in table] for tables in (seen, knocked))
    return [
        StageGates(stage, len(seen), *means(layers, stage, MEASURED), *means(losses, stage, LOST))
        for stage in sorted({stage for stage, _ in layers})
    ]


def read(file: Path, columns: Sequence[str]) -> Rows:
    """The stage and these columns of every row that is of one. Raises InputError."""
    with readable(file) as path, path.open(newline="") as opened:
        return [
            (int(row["stage"]), [float(row[column]) for column in columns])
            for row in csv.DictReader(opened)
            if row["stage"]
        ]


def means(rows: Rows, stage: int, columns: Sequence[str]) -> list[float]:
    """Of each column over a stage's rows, without nan; nan of nothing."""
    own = [figures for number, figures in rows if number == stage]
    kept = [[row[i] for row in own if not math.isnan(row[i])] for i in range(len(columns))]
    return [fmean(values) if values else math.nan for values in kept]
