"""Find run folders and read what they hold. Every run is compared, or left out with a reason."""

import math
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.comparison import LeftOut
from senet_train.errors import InputError
from senet_train.runs.curves import METRICS_FILE, read_column, read_column_names
from senet_train.runs.folder import has_record
from senet_train.runs.inputs import WEIGHTS_FILE, read_weights_sha256
from senet_train.runs.metrics import Metrics
from senet_train.runs.predictions import (
    CORRECT_FILE,
    OVERLAPS_FILE,
    read_correct,
    read_overlaps,
)
from senet_train.runs.record import Latency, RunRecord, read_record
from senet_train.runs.status import STATUS_FILE, Status, is_running, read_status
from senet_train.system.listing import entries_of

RECORD = "result.json"
NO_RECORD = (
    "finished, but its result.json is missing: copy the folder again, or run it anew with "
    "overwrite=true"
)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and its record.

    `epoch_by` is the score that chose the best epoch, where it is judged by another one, else "".
    """

    path: Path
    record: RunRecord
    epoch_by: str = ""

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Which test images it got right, (num_images,). Raises InputError if that is damaged."""
        with readable(self.path / CORRECT_FILE) as name:
            right = read_correct(self.path)
        metrics = self.record.metrics
        top1 = metrics.test_top1 if isinstance(metrics, Metrics) else metrics.test_score
        if not abs(right.mean() - top1) * len(right) <= 0.5:
            raise InputError(
                f"{name} has {right.mean():.4f} right and result.json {top1:.4f}: the files are of "
                "two runs, run it anew with overwrite=true"
            )
        return right

    def overlaps(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pixels in both and in either of truth and answer, (num_images, num_classes) each.

        Raises InputError if that is damaged, or not the record's.
        """
        with readable(self.path / OVERLAPS_FILE) as name:
            hits, unions = read_overlaps(self.path)
            either = unions.sum(0)
            miou = float((hits.sum(0) / np.maximum(either, 1))[either > 0].mean())
        if not abs(miou - self.record.metrics.test_score) <= 1e-6:
            raise InputError(
                f"{name} has a mIoU of {miou:.4f} and result.json "
                f"{self.record.metrics.test_score:.4f}: the files are of two runs, run it anew "
                "with overwrite=true"
            )
        return hits, unions

    def pretrained_sha256(self) -> str:
        """The sha256 of its seed's own pretrained weights; "" without. Raises InputError."""
        with readable(self.path / WEIGHTS_FILE):
            return read_weights_sha256(self.path)

    def finished_at(self) -> float:
        """When it finished, in seconds since 1970. Raises InputError if that is damaged."""
        with readable(self.path / "result.json"):
            return datetime.fromisoformat(self.record.finished).timestamp()

    def curve(self) -> list[float]:
        """Validation score after every epoch, percent. Raises InputError if that is damaged."""
        return [100 * score for score in self.column(f"val_{self.record.metrics.score.key}")]

    def columns(self) -> list[str]:
        """What metrics.csv has of an epoch. Raises InputError if that is damaged."""
        with readable(self.path / METRICS_FILE):
            return read_column_names(self.path)

    def column(self, name: str) -> list[float]:
        """A column of metrics.csv, a row for each epoch. Raises InputError if that is damaged."""
        with readable(self.path / METRICS_FILE):
            return read_column(self.path, name)


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """For the block, raise InputError in place of what a missing or damaged file raises."""
    try:
        yield path
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing: copy it too where only some files were copied, or run it anew "
            "with overwrite=true, or move it away"
        ) from error
    except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {error}): run it anew with "
            "overwrite=true, or move it away"
        ) from error


def collect(paths: Iterable[Path]) -> tuple[list[Run], list[LeftOut]]:
    """Every finished run below the paths, and the unfinished ones with their reasons.

    Raises InputError for a path without runs, and as `read_runs` does.
    """
    finished, left_out = sort_out(paths)
    return read_runs(finished), left_out


def sort_out(paths: Iterable[Path]) -> tuple[list[Path], list[LeftOut]]:
    """The folders of finished runs below the paths, and of the others, with the reasons.

    Raises InputError for a path without runs.
    """
    finished, left_out = [], []
    for folder in find_all(paths):
        if reason := left_out_for(folder):
            left_out.append(LeftOut(folder, reason, state_of(folder)))
        else:
            finished.append(folder)
    if not finished and not left_out:
        raise InputError("no path was given: senet-compare outputs")
    return finished, left_out


def state_of(folder: Path) -> str:
    """The state of a run, "" where it cannot be read."""
    status = read_status(folder)
    return status.state if status else ""


def left_out_for(folder: Path) -> str:
    """Why the run in the folder is left out, and what to do about it; "" if it is compared.

    A record that can be read is a finished run, whatever became of its status.
    """
    status, there = read_status(folder), (folder / RECORD).exists()
    if there and (status is None or status.state in ("running", "interrupted")):
        return "" if has_record(folder) else reason_of(status, has_record=there)
    return reason_of(status, has_record=there)


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """The runs in the folders, each once.

    Raises InputError for a record that is damaged or of another schema, one that is not finite, and
    an arm whose seed is there twice with different results.
    """
    runs: dict[tuple[str, int], Run] = {}
    for folder in folders:
        run = Run(folder, read_record(folder / RECORD))
        refuse_not_finite(run)
        key = (run.record.identity, run.record.seed)
        refuse_unequal(runs.setdefault(key, run), run)
    return list(runs.values())


def find_all(paths: Iterable[Path]) -> list[Path]:
    """The run folders below all paths, each once, sorted. Raises InputError for an empty path."""
    found: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            raise InputError(
                f"{path} is no folder: give one that holds runs, such as outputs, or a .csv"
            )
        below = [folder.resolve() for folder in find_runs(path)]
        if not below:
            raise InputError(f"{path} holds no run: give a folder that senet-train wrote to")
        found.update(below)
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key to sort by: r=2, r=4, r=16, and seed 2 before seed 10."""
    words = re.split(r"(\d+)", str(path))
    return [(int(word), "") if word.isdecimal() else (0, word) for word in words]


def find_runs(path: Path) -> Iterator[Path]:
    """The folders below `path` that hold a run; hidden ones, of replaced runs, are skipped."""
    waiting, seen = [path], set()
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        if any(os.path.lexists(folder / name) for name in (STATUS_FILE, RECORD)):
            yield folder
        else:
            waiting += readable_folders(folder)


def readable_folders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden; none where it cannot be listed."""
    try:
        return [
            folder / entry.name
            for entry in entries_of(folder)
            if not entry.name.startswith(".") and os.path.isdir(entry.path)
        ]
    except OSError:
        return []


AGAIN = "type its line again"
# State -> what its owner can do about it.
WAYS_OUT = {
    "running": AGAIN,  # its process is gone, or is on another machine
    "interrupted": AGAIN,
    "failed": f"{AGAIN} with retry=failed",
    "diverged": "",  # a result: it would diverge again
    "pruned": "a search stopped it, without hydra/sweeper it is trained to its end",
}


def reason_of(status: Status | None, *, has_record: bool) -> str:
    """Why a run is left out, and what to do about it; "" if it is compared."""
    if status is None:
        return "its status.json cannot be read"
    if status.state == "finished":
        return "" if has_record else NO_RECORD
    way_out = WAYS_OUT.get(status.state, AGAIN)
    if status.state == "running":
        here = status.host == socket.gethostname()
        if is_running(status):
            return f"running, process {status.pid}"
        state = f"left running by {status.pid}" if here else f"running on {status.host}, or cut"
    else:
        reason = status.reason.removeprefix("Diverged: ")  # its class: the state says it
        state = f"{status.state}: {reason}" if reason else status.state
    return f"{state}; {way_out}" if way_out else state


def refuse_not_finite(run: Run) -> None:
    """Raises InputError for a metric or a cost that is nan or infinite."""
    record = run.record
    for name, value in [*numbers(vars(record.metrics)), *numbers(vars(record.cost))]:
        if not math.isfinite(value):
            raise InputError(
                f"{run.path / 'result.json'} has {name}={value}: a finished run's figures are "
                "finite, so move this one away"
            )


def numbers(node: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number below a node, and where it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{name}.{key}" if name else key)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from numbers(value, name)
    elif isinstance(node, Latency):
        yield from numbers(vars(node), name)
    elif not isinstance(node, str):
        yield name, node


def refuse_unequal(first: Run, second: Run) -> None:
    """Raises InputError if one arm and seed has two results: which one would be compared?"""
    if first.record.metrics != second.record.metrics:
        raise InputError(
            f"{first.path} and {second.path} are the same arm and seed with different results: "
            "compare one of them at a time"
        )
