"""Find run folders and read what they hold. No run is dropped in silence."""

import csv
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.comparison import LeftOut
from senet_train.errors import InputError
from senet_train.record import RunRecord, read_record
from senet_train.run_folder import read_status


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and its record."""

    path: Path
    record: RunRecord

    def correct(self) -> NDArray[np.bool_]:
        """Which test images it got right, (num_images,)."""
        with np.load(self.path / "correct.npz", allow_pickle=False) as file:
            bits: NDArray[np.bool_] = np.unpackbits(file["bits"])[: int(file["num_images"])] == 1
        return bits

    def curve(self) -> list[float]:
        """Validation top-1 after every epoch, percent."""
        with (self.path / "metrics.csv").open(newline="") as file:
            return [100 * float(row["val_top1"]) for row in csv.DictReader(file)]


def collect(paths: Iterable[Path]) -> tuple[list[Run], list[LeftOut]]:
    """Every finished run below the paths, and the unfinished ones with their reasons.

    Raises InputError for a path without runs, a record that is damaged or of another schema, one
    that is not finite, and an arm whose seed is there twice with different results.
    """
    runs: dict[tuple[str, int], Run] = {}
    left_out = []
    for folder in find_all(paths):
        status = read_status(folder)
        if status is None or status.state != "finished":
            left_out.append(LeftOut(folder, reason_of(status)))
            continue
        run = Run(folder, read_record(folder / "result.json"))
        refuse_not_finite(run)
        key = (run.record.identity, run.record.seed)
        refuse_unequal(runs.setdefault(key, run), run)
    if not runs and not left_out:
        raise InputError("no path was given: senet-compare outputs")
    return list(runs.values()), left_out


def find_all(paths: Iterable[Path]) -> list[Path]:
    """The run folders below all paths, each once, sorted. Raises InputError for an empty path."""
    found: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path} is no folder: give one that holds runs, such as outputs")
        below = [folder.resolve() for folder in find_runs(path)]
        if not below:
            raise InputError(f"{path} holds no run: give a folder that senet-train wrote to")
        found.update(below)
    return sorted(found, key=in_reading_order)


def in_reading_order(path: Path) -> list[tuple[int, str]]:
    """Numbers by size: r=2, r=4, r=16, and seed 2 before seed 10."""
    words = re.split(r"(\d+)", str(path))
    return [(int(word), "") if word.isdigit() else (0, word) for word in words]


def find_runs(path: Path) -> Iterator[Path]:
    """Folders with a status.json; hidden ones hold replaced runs and are not looked into."""
    for folder, children, files in os.walk(path):
        if "status.json" in files:
            children.clear()
            yield Path(folder)
        else:
            children[:] = [name for name in children if not name.startswith(".")]


def reason_of(status: object) -> str:
    """Why a run takes no part."""
    if status is None:
        return "its status.json cannot be read"
    state, reason = getattr(status, "state", ""), getattr(status, "reason", "")
    return f"{state}: {reason}" if reason else state


def refuse_not_finite(run: Run) -> None:
    """Raises InputError for a metric that is nan or infinite."""
    for name, value in asdict(run.record.metrics).items():
        if not math.isfinite(value):
            raise InputError(
                f"{run.path / 'result.json'} has {name}={value}: a finished run's metrics are "
                "finite, so move this one away"
            )


def refuse_unequal(first: Run, second: Run) -> None:
    """Raises InputError if one arm and seed has two results: which one would be compared?"""
    if first.record.metrics != second.record.metrics:
        raise InputError(
            f"{first.path} and {second.path} are the same arm and seed with different results: "
            "compare one of them at a time"
        )
