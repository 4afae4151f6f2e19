"""`dry_run=true`: what a table would cost, and which differences it could show."""

import logging
from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.table import Column, Table

from senet_train.compare.statistics.contrast import pooled_contrasts
from senet_train.compare.statistics.looks import FIRST_LOOK, POWER, Rule, unplanned
from senet_train.errors import InputError, counted
from senet_train.runs.record import RunRecord, read_record
from senet_train.sweeps.controls import blocks_of
from senet_train.system.console import output_console, say
from senet_train.training.plan import Plan

log = logging.getLogger("senet_train")


def print_dry_run(plans: Sequence[Plan], rules: Mapping[str, Rule]) -> None:
    """Print arms, runs finished and left, hours, and the smallest difference that can be shown.

    `rules` has the rule of its plan for every arm that has one.
    """
    records = [record for plan in plans if (record := record_of(plan))]
    finished = [(record.arm, record.seed) for record in records]
    arms: dict[str, list[Plan]] = {}
    for plan in plans:
        arms.setdefault(plan.identity.arm, []).append(plan)
    arm_column = Column("arm", overflow="fold")
    table = Table(arm_column, "parameters", "multiply-adds", "runs", "finished")
    for arm, runs in arms.items():
        done = sum((arm, run.config.seed) in finished for run in runs)
        cost = runs[0].cost
        adds = f"{cost.multiply_adds / 1e6:,.2f} M"
        table.add_row(arm, f"{cost.parameters:,}", adds, str(len(runs)), str(done))
    output_console().print(table)
    say(f"left to train: {len(plans) - len(records)} of {counted(len(plans), 'run')}")
    say(hours_left(arms, records))
    lines = []
    for block in blocks_of(arms):
        others = [arm for arm in block if arm in rules]
        rule = rules[others[0]] if others else unplanned(list(block)[1:])
        lines.append(smallest_difference(block, records, rule))
    say(*dict.fromkeys(lines))


def record_of(plan: Plan) -> RunRecord | None:
    """The finished run's record; None where there is none, or a damaged one, which is logged."""
    if not plan.folder.finished:
        return None
    try:
        return read_record(plan.folder.path / "result.json")
    except InputError as error:
        log.warning("warning: %s", error)
        return None


def hours_left(arms: dict[str, list[Plan]], records: Sequence[RunRecord]) -> str:
    """From the finished runs of each arm, or of all arms where one has none yet."""
    if not records:
        return "hours: unknown until one run of the table has finished"
    seconds = 0.0
    for arm, runs in arms.items():
        known = [record.cost.seconds for record in records if record.arm == arm]
        left = len(runs) - len(known)
        seconds += left * fmean(known or [record.cost.seconds for record in records])
    return f"hours: about {seconds / 3600:.2g}, one run after the other, as the finished runs took"


def smallest_difference(
    arms: Mapping[str, Sequence[Plan]], records: Sequence[RunRecord], rule: Rule
) -> str:
    """What a comparison of the arms with the first has an 80 % chance to see, if it is there.

    `rule` is that of the table's plan. The points are from the finished runs of these arms, else
    from those of their control alone, such as a noise study has.
    """
    control, *others = arms
    num_seeds = max(len(runs) for runs in arms.values())
    if not others:
        return "one arm: nothing to compare it with"
    if not rule.reached(num_seeds):
        return f"no verdict at {num_seeds} seeds: it takes {FIRST_LOOK}"
    units = max(rule.detectable_in_sd(arm, num_seeds) for arm in others if arm in rule.weights)
    start = (
        f"{num_seeds} seeds show differences of {units:.1f} residual standard deviations "
        f"(power {POWER}, Holm over {counted(len(rule.weights), 'arm')})"
    )
    noise = noise_of(control, others, records)
    if noise is None:
        return start
    sd, source = noise
    if units * sd >= 100:
        return f"{start}, which by {source} is more than the 100 points there are"
    return f"{start}, {units * sd:.2f} points by {source}"


def noise_of(
    control: str, others: Sequence[str], records: Sequence[RunRecord]
) -> tuple[float, str] | None:
    """The residual sd in points, and what it is from; None where nothing has finished."""
    accuracies: dict[str, dict[int, float]] = {}
    for record in records:
        accuracies.setdefault(record.arm, {})[record.seed] = 100 * record.metrics.test_score
    table = {arm: runs for arm, runs in accuracies.items() if arm in (control, *others)}
    contrasts = pooled_contrasts(table, control) if control in table else {}
    if contrasts:
        return next(iter(contrasts.values())).residual_sd, "the runs finished so far"
    return None
