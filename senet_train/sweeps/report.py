"""The table at the end of a sweep: a row for each arm, read from the run folders."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from rich.table import Column, Table

from senet_train.errors import RunError, counted
from senet_train.sweeps.view import RunProgress, progress_of
from senet_train.system.console import output_console, say

if TYPE_CHECKING:
    from senet_train.training.plan import Plan


@dataclass
class ProcessReturn(JobReturn):
    """The result of a run in a process of our own; `how` says why it failed.

    `folder` is the absolute path of the run's folder, where the run has told it.
    """

    how: str = ""
    folder: str = ""


def print_report(plans: Sequence["Plan"], returns: Sequence[JobReturn]) -> None:
    """Print the table to standard output. Raises RunError if a run did not finish."""
    arms: dict[str, list[tuple[RunProgress, str]]] = {}
    for plan, end in zip(plans, returns, strict=True):
        how = end.how if isinstance(end, ProcessReturn) else ""
        arms.setdefault(plan.identity.arm, []).append((progress_of(plan), how))
    titles = dict.fromkeys(run.title for arm in arms.values() for run, _ in arm)
    score = f"mean val {', '.join(titles)}"
    table = Table(Column("arm", overflow="fold"), "finished", score, "not finished")
    for arm, runs in arms.items():
        table.add_row(*cells_of(arm, runs))
    output_console().print(table)
    failed = [plan for plan, end in zip(plans, returns, strict=True) if not is_finished(plan, end)]
    say(f"finished {len(plans) - len(failed)} of {counted(len(plans), 'run')}")
    print_next(plans)
    if failed:
        names = ", ".join(
            f"{plan.identity.arm} seed {plan.config.seed} ({progress_of(plan).state})"
            for plan in failed
        )
        raise RunError(f"{len(failed)} of {counted(len(plans), 'run')} did not finish: {names}")


def print_next(plans: Sequence["Plan"]) -> None:
    """Print the command for the verdicts; of a control alone its noise, and the command for that.

    Raises InputError for a damaged record of a control.
    """
    from senet_train.sweeps.noise import controls_alone, print_noise  # imports torch

    alone = controls_alone(plans)
    if alone and any(plan.folder.finished for plan in plans):
        print_noise(alone)
    folders = alone or [plan.folder.path.parents[1] for plan in plans]
    for folder in dict.fromkeys(folders):
        say(f"{'noise' if alone else 'verdict'}: senet-compare {shlex.quote(str(folder))}")


def cells_of(arm: str, ends: Sequence[tuple[RunProgress, str]]) -> tuple[str, ...]:
    """One row of the table: the finished seeds, their mean score, and the state of the others."""
    finished = [run.val_score for run, _ in ends if run.state == "finished"]
    others = [
        f"seed {run.seed} {how if run.state == 'killed' and how else run.state}"
        for run, how in ends
        if run.state != "finished"
    ]
    mean = f"{fmean(finished):.4f}" if finished else ""
    return (arm, f"{len(finished)} of {len(ends)}", mean, ", ".join(others))


def is_finished(plan: "Plan", end: JobReturn) -> bool:
    """Whether the run has a record and did not fail in this sweep.

    A run that failed returns nan; a launcher may report an exception instead.
    """
    if end.status != JobStatus.COMPLETED or not plan.folder.finished:
        return False
    value = end.return_value
    return not (isinstance(value, float) and math.isnan(value))
