"""How a sweep ended: a row for each arm, by what stands in the run folders."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from rich.console import Console
from rich.table import Column, Table

from senet_train.errors import RunError
from senet_train.sweeps.view import Standing, standing_of

if TYPE_CHECKING:
    from senet_train.training.plan import Plan


@dataclass
class ProcessReturn(JobReturn):
    """What became of a run whose process we started ourselves: how it ended, if not well."""

    how: str = ""


def report(plans: Sequence["Plan"], returns: Sequence[JobReturn]) -> None:
    """Print the table to standard output. Raises RunError if a run did not finish."""
    arms: dict[str, list[tuple[Standing, str]]] = {}
    for plan, end in zip(plans, returns, strict=True):
        how = end.how if isinstance(end, ProcessReturn) else ""
        arms.setdefault(plan.identity.arm, []).append((standing_of(plan), how))
    titles = dict.fromkeys(standing.title for arm in arms.values() for standing, _ in arm)
    score = f"mean val {', '.join(titles)}"
    table = Table(Column("arm", overflow="fold"), "finished", score, "not finished")
    for arm, standings in arms.items():
        table.add_row(*cells_of(arm, standings))
    Console().print(table)
    failed = [plan for plan, end in zip(plans, returns, strict=True) if not is_finished(plan, end)]
    print(f"finished {len(plans) - len(failed)} of {len(plans)} runs")
    for folder in dict.fromkeys(plan.folder.output_dir / plan.folder.data for plan in plans):
        print(f"verdict: senet-compare {shlex.quote(str(folder))}")
    if failed:
        names = ", ".join(
            f"{plan.identity.arm} seed {plan.config.seed} ({standing_of(plan).state})"
            for plan in failed
        )
        raise RunError(f"{len(failed)} of {len(plans)} runs did not finish: {names}")


def cells_of(arm: str, ends: Sequence[tuple[Standing, str]]) -> tuple[str, ...]:
    """One row of the table: how many seeds are there, how good, and what became of the others."""
    finished = [standing.val_score for standing, _ in ends if standing.state == "finished"]
    others = [
        f"seed {standing.seed} {how if standing.state == 'killed' and how else standing.state}"
        for standing, how in ends
        if standing.state != "finished"
    ]
    mean = f"{fmean(finished):.4f}" if finished else ""
    return (arm, f"{len(finished)} of {len(ends)}", mean, ", ".join(others))


def is_finished(plan: "Plan", end: JobReturn) -> bool:
    """Whether the run is there, whole, and this sweep had no trouble with it.

    A run returns nan for trouble; a launcher may report an exception instead.
    """
    if end.status != JobStatus.COMPLETED or not plan.folder.finished:
        return False
    value = end.return_value
    return not (isinstance(value, float) and math.isnan(value))
