"""What senet-inspect measured in the runs of an arm: means over runs, for each stage."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from senet_train.compare.collect import Run, readable
from senet_train.compare.comparison import StageGates

# The files that senet-inspect writes in a run's folder, and the columns that are read here.
FOLDER = "inspect"
LAYERS, MEASURED = "layers.csv", ("mean", "sd_over_images", "constant", "between_classes")
KNOCKOUTS, LOST = "knockouts.csv", ("held_points",)


Rows = list[tuple[int, list[float]]]  # a stage and its figures


def excitations_of(runs: Iterable[Run]) -> list[StageGates]:
    """Each stage's gates over the inspected runs. Raises InputError for a damaged file."""
    folders = [run.path / FOLDER for run in runs]
    seen = [read(folder / LAYERS, MEASURED) for folder in folders if (folder / LAYERS).is_file()]
    knocked = [read(file, LOST) for f in folders if (file := f / KNOCKOUTS).is_file()]
    layers, losses = ([row for table in tables for row in table] for tables in (seen, knocked))
    return [
        StageGates(stage, len(seen), *means(layers, stage, MEASURED), *means(losses, stage, LOST))
        for stage in sorted({stage for stage, _ in layers})
    ]


def read(file: Path, columns: Sequence[str]) -> Rows:
    """The stage and these columns of every row that has a stage. Raises InputError."""
    with readable(file) as path, path.open(newline="") as opened:
        return [
            (int(row["stage"]), [float(row[column]) for column in columns])
            for row in csv.DictReader(opened)
            if row["stage"]
        ]


def means(rows: Rows, stage: int, columns: Sequence[str]) -> list[float]:
    """The mean of each column over a stage's rows, without nan; nan where no value is left."""
    own = [figures for number, figures in rows if number == stage]
    kept = [[row[i] for row in own if not math.isnan(row[i])] for i in range(len(columns))]
    return [fmean(values) if values else math.nan for values in kept]
