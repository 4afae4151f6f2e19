"""`--quick` on a GPU: what of it is worth knowing, in less than eight minutes, unattended.

A row that fails, or that the time does not suffice for, is left out, and its cell says so. Those
that compile come last, as they may take a minute each. Nobody has run this on a GPU yet.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarking.flags import own_precision
from benchmarking.pictures import write_folder
from benchmarking.processes import SCRIPTS, Measured, arguments, run, run_command, run_row, scratch
from benchmarking.workload import Workload, workload_of
from senet_train.system.resources import usable_cores

SECONDS = 8 * 60 - 15  # the rest is for what is running when they are over
LEFT_OUT, FAILED = "no time", "failed"  # in the place of what was measured
CHANGES: dict[str, dict[str, Any]] = {  # a GPU makes 50 times the steps
    "resnet20": {"steps": 6},
    "resnet18": {},
    "resnet50": {},
}
COMPILED = ("timm, best flags", "senet-train, compiled")
REHEARSED = {"steps": 3, "batch_size": 8}
SMALLER = {"image_size": 64}


@dataclass(frozen=True)
class Cell:
    """One measurement: a row of a workload, with SE or without."""

    workload: str
    row: str
    attention: str


WAITS = Cell("resnet18", "how often the host waits", "se")


@dataclass(frozen=True)
class Job:
    """A workload, as a process of a row is told of it."""

    name: str
    changes: dict[str, Any]

    @property
    def workload(self) -> Workload:
        """The workload itself."""
        return workload_of(self.name, self.changes)


Measure = Callable[[float], Any]  # what may take so many seconds
Row = Callable[[str, float], Measured]  # attention, seconds


def quick(device: str, *, rehearsal: bool = False) -> Iterator[str]:
    """The report. A rehearsal is a few steps of tiny batches, on a CPU as well."""
    end = time.monotonic() + SECONDS
    with scratch() as folder:
        jobs = jobs_in(folder, device, rehearsal)
        found = in_time(measures(jobs, device), end)
    where = torch.cuda.get_device_name() if device == "cuda" else "a CPU"
    yield f"Each row is run once, on {where}. A loop's rate is a mean over its steps, that of "
    yield "senet-train the median over its second epoch.\n"
    for name, job in jobs.items():
        yield from table(name, job, device, found)
    yield from prices(jobs, found)
    yield waits_line(found[WAITS])
    if rehearsal:
        yield "\nThis was a rehearsal: the numbers mean nothing.\n"


def jobs_in(folder: Path, device: str, rehearsal: bool) -> dict[str, Job]:
    """What is trained; the pictures of ResNet-50 are written to the folder."""
    jobs = {}
    for name, changes in CHANGES.items():
        changes = {**changes, **(REHEARSED if rehearsal else {})}
        if name == "resnet50":
            smaller = SMALLER if rehearsal else {}
            changes = {**changes, **smaller, "folder": str(folder)}
            write_folder(folder, workload_of(name, changes), device)
        jobs[name] = Job(name, changes)
    return jobs


def measures(jobs: Mapping[str, Job], device: str) -> dict[Cell, Measure]:
    """All measurements, in their order: those that compile come last."""
    cells: dict[Cell, Measure] = {
        Cell(name, row, kind): partial(measure, kind)
        for name, job in jobs.items()
        for row, (measure, kinds) in rows_of(job, device).items()
        for kind in kinds
    }
    early = {cell: measure for cell, measure in cells.items() if cell.row not in COMPILED}
    return {**early, WAITS: waits_of(jobs["resnet18"], device), **cells}


def rows_of(job: Job, device: str) -> dict[str, tuple[Row, tuple[str, ...]]]:
    """Every way to train a workload, and for which attentions it is measured."""

    def row(loop: str, **flags: Any) -> Row:
        told = {"changes": job.changes, "flags": {"device": device, **flags}, "tail": "composed"}
        return lambda kind, limit: run_row(job.name, limit, loop=loop, attention=kind, **told)

    def command(*extra: str) -> Row:
        return lambda kind, limit: run_command(job.workload, kind, device, *extra, limit=limit)

    own = {"precision": own_precision(device), "channels_last": True, "fused": True}
    best = {**own, "compiled": True, "workers": min(16, usable_cores())}
    both, se = ("none", "se"), ("se",)
    return {
        "senet-train": (command("trainer.kernel=composed"), both),
        "bare loop": (row("bare", **own), both),
        "plain user loop": (row("plain user"), se),
        "timm, best flags": (row("timm", **best), se),
        "senet-train, compiled": (command("trainer.kernel=compiled"), se),
    }


def waits_of(job: Job, device: str) -> Measure:
    """SE-ResNet-18 once more, watched."""
    steps = job.workload.steps_on(device) + 1

    def measure(limit: float) -> dict[str, Any]:
        with scratch() as folder:
            asked = [*arguments(job.workload, "se", steps, 2, device), f"output_dir={folder}"]
            script = str(SCRIPTS / "benchmarking" / "waits.py")
            output = run([sys.executable, script, *asked, "trainer.kernel=composed"], limit)
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
        return answer

    return measure


def in_time(
    measures: Mapping[Cell, Measure], end: float, clock: Callable[[], float] = time.monotonic
) -> dict[Cell, Any]:
    """What each measurement came to, or the word for one that failed or had not ended by `end`."""
    found: dict[Cell, Any] = dict.fromkeys(measures, LEFT_OUT)
    for cell, measure in measures.items():
        left = end - clock()
        if left <= 0:
            break
        print(f"{left:.0f} s left: {cell.workload}, {cell.row}, {cell.attention}", file=sys.stderr)
        try:
            found[cell] = measure(left)
        except subprocess.TimeoutExpired:
            continue
        except RuntimeError as error:  # the others are worth as much without it
            found[cell] = FAILED
            print(error, file=sys.stderr)
    return found


def table(name: str, job: Job, device: str, found: Mapping[Cell, Any]) -> Iterator[str]:
    """Images a second of every row."""
    workload = job.workload
    own = found[Cell(name, "senet-train", "se")]
    source = "JPEG files" if workload.folder else "images in memory"
    yield f"\n### SE-{workload.title}, {source}, batch {workload.batch_size}, {device}\n\n"
    yield "| row | images/s | peak MiB | senet-train is |\n| :-- | --: | --: | --: |\n"
    for row in rows_of(job, device):
        it = found[Cell(name, row, "se")]
        if isinstance(it, str):
            yield f"| {row} | {it} | {it} | {it} |\n"
            continue
        missing = isinstance(own, str)
        times = own if missing else f"{own.images_per_second / it.images_per_second:.2f} x"
        peak = it.peak_memory_bytes / 2**20
        yield f"| {row} | {it.images_per_second:,.0f} | {peak:,.0f} | {times} |\n"


def prices(jobs: Mapping[str, Job], found: Mapping[Cell, Any]) -> Iterator[str]:
    """By how much longer a step takes with SE."""
    yield "\n### SE's price, %\n\n| network | senet-train | bare loop |\n| :-- | --: | --: |\n"
    for name, job in jobs.items():
        cells = (price(name, row, found) for row in ("senet-train", "bare loop"))
        yield f"| {job.workload.title} | {' | '.join(cells)} |\n"


def price(name: str, row: str, found: Mapping[Cell, Any]) -> str:
    """That of one network in one row."""
    plain, se = (found[Cell(name, row, kind)] for kind in ("none", "se"))
    missing = [each for each in (plain, se) if isinstance(each, str)]
    if missing:
        return missing[0]
    return f"{100 * (plain.images_per_second / se.images_per_second - 1):.1f}"


def waits_line(answer: dict[str, Any] | str) -> str:
    """How often the host waits."""
    if isinstance(answer, str):
        return f"\nHow often the host waits for the GPU: {answer}.\n"
    where = ", ".join(f"{number} at {place}" for place, number in answer["places"].items())
    return (
        f"\nSE-ResNet-18 makes its host wait for the GPU {answer['waits']} times in "
        f"{answer['steps']} steps{f' ({where})' * bool(where)}.\n"
    )
