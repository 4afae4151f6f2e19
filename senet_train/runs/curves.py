"""`metrics.csv` of a run: one row for each epoch, with its means over the data and its speed."""

import csv
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from senet_train.runs.metrics import CHOSEN, score_among
from senet_train.system.csv_files import as_csv
from senet_train.system.files import write_text
from senet_train.system.foreign_files import (
    TABLE,
    read_bytes,
    read_numbers,
    read_rows,
)
from senet_train.system.regular_file import own_file

METRICS_FILE = "metrics.csv"


class Epoch(NamedTuple):
    """What a row tells of a run that is being trained."""

    val_score: float
    seconds: float  # of training, validation not included


def write_rows(run: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Replace the file of the run in the folder `run`; no file is made for no rows."""
    file = run / METRICS_FILE
    if rows or file.exists():
        write_text(file, as_csv(rows))


def append_row(run: Path, row: Mapping[str, float], *, header: bool) -> None:
    """Append the row of an epoch, after the names of its columns if `header`."""
    text = as_csv([row])
    _, _, line = text.partition("\n")
    with open(run / METRICS_FILE, "a", encoding="utf-8", newline="", opener=own_file) as file:
        file.write(text if header else line)


def read_column_names(run: Path) -> list[str]:
    """The names of the columns. Raises FileNotFoundError, InputError."""
    return next(read_rows(run / METRICS_FILE, TABLE), [])


def read_column(run: Path, name: str) -> list[float]:
    """A column, one value for each epoch. Raises FileNotFoundError, InputError."""
    return [value for (value,) in read_numbers(run / METRICS_FILE, TABLE, [name])]


def read_epochs(run: Path) -> tuple[Epoch, ...]:
    """The epochs trained so far; none if the file cannot be read. A run may be writing to it."""
    file = run / METRICS_FILE
    try:
        stat = file.stat()
        return parse_epochs(file, stat.st_mtime_ns, stat.st_size)
    # Not there yet, or a power cut's zeros, or no table.
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return ()


@lru_cache(maxsize=10_000)
def parse_epochs(file: Path, mtime_ns: int, size: int) -> tuple[Epoch, ...]:
    """The epochs in this version of the file, without a last line that is not complete yet."""
    text = read_bytes(file, TABLE).decode()
    complete = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(complete.splitlines())
    names = rows.fieldnames or ()
    column = CHOSEN if CHOSEN in names else f"val_{score_among(names).key}"
    return tuple(Epoch(float(row[column]), float(row["seconds"])) for row in rows)
