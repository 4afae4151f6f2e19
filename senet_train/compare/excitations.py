"""What senet-inspect measured in the runs of an arm: means over runs, for each stage."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from senet_train.compare.collect import Run, readable
from senet_train.compare.comparison import StageGates
from senet_train.system.foreign_files import TABLE, BadFile, read_columns

# The files that senet-inspect writes in a run's folder, and the columns that are read here.
FOLDER = "inspect"
LAYERS, MEASURED = "layers.csv", ("mean", "sd_over_images", "constant", "between_classes")
KNOCKOUTS, LOST = "knockouts.csv", ("held_points",)


MOST_DIGITS = 9  # of a stage

Rows = list[tuple[int, list[float]]]  # a stage and its figures


def excitations_of(runs: Iterable[Run]) -> list[StageGates]:
    """Each stage's gates over the inspected runs. Raises InputError for a damaged file."""
    folders = [run.path / FOLDER for run in runs]
    seen = [
        read(folder / LAYERS, MEASURED) for folder in folders if os.path.lexists(folder / LAYERS)
    ]
    knocked = [read(file, LOST) for f in folders if os.path.lexists(file := f / KNOCKOUTS)]
    layers, losses = ([row for table in tables for row in table] for tables in (seen, knocked))
    return [
        StageGates(stage, len(seen), *means(layers, stage, MEASURED), *means(losses, stage, LOST))
        for stage in sorted({stage for stage, _ in layers})
    ]


def read(file: Path, columns: Sequence[str]) -> Rows:
    """The stage and these columns of every row that has a stage. Raises InputError."""
    with readable(file) as path:
        rows = read_columns(path, TABLE, ["stage", *columns])
    try:
        return [(stage_of(stage), [*map(float, row)]) for stage, *row in rows if stage]
    except ValueError as error:
        raise BadFile(file, str(error)[:80]) from error


def stage_of(text: str) -> int:
    """The number of a stage. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        raise ValueError(f"{text!r} is no stage")
    return int(text)


def means(rows: Rows, stage: int, columns: Sequence[str]) -> list[float]:
    """The mean of each column over a stage's rows, without nan; nan where no value is left."""
    own = [figures for number, figures in rows if number == stage]
    kept = [[row[i] for row in own if not math.isnan(row[i])] for i in range(len(columns))]
    return [fmean(values) if values else math.nan for values in kept]
