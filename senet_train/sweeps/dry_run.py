"""`dry_run=true`: what a table would cost, and which differences it could show."""

import logging
from collections.abc import Sequence
from statistics import fmean

from rich.table import Column, Table

from senet_train.compare.blocks import Recipe, flatten, recipe_of
from senet_train.compare.statistics.contrast import pooled_contrasts
from senet_train.compare.statistics.looks import detectable_in_sd, look_reached
from senet_train.errors import InputError, counted
from senet_train.runs.record import RunRecord, read_record
from senet_train.system.console import output_console, say
from senet_train.training.plan import Plan

log = logging.getLogger("senet_train")


def print_dry_run(plans: Sequence[Plan]) -> None:
    """Print arms, runs finished and left, hours, and the smallest difference that can be shown."""
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
    for line in dict.fromkeys(smallest_difference(block, records) for block in blocks_of(arms)):
        say(line)


def record_of(plan: Plan) -> RunRecord | None:
    """The finished run's record; None where there is none, or a damaged one, which is logged."""
    if not plan.folder.finished:
        return None
    try:
        return read_record(plan.folder.path / "result.json")
    except InputError as error:
        log.warning("warning: %s", error)
        return None


def blocks_of(arms: dict[str, list[Plan]]) -> list[dict[str, list[Plan]]]:
    """Arms that will be compared with each other: equal but for attention, placement, factor."""
    blocks: dict[Recipe, dict[str, list[Plan]]] = {}
    for arm, runs in arms.items():
        content, factor = runs[0].identity.content, runs[0].config.factor
        recipe = recipe_of(dict(flatten(content)), factor)
        blocks.setdefault(recipe, {})[arm] = runs
    return list(blocks.values())


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


def smallest_difference(arms: dict[str, list[Plan]], records: Sequence[RunRecord]) -> str:
    """What a comparison of the arms with the first has an 80 % chance to see, if it is there."""
    num_seeds, num_others = max(len(runs) for runs in arms.values()), len(arms) - 1
    if num_others < 1:
        return "one arm: nothing to compare it with"
    if not look_reached(num_seeds):
        return f"no verdict at {num_seeds} seeds: the first planned look is at 3"
    units = detectable_in_sd(num_others, num_seeds)
    start = (
        f"{num_seeds} seeds show differences of {units:.1f} residual standard deviations "
        f"(power 0.8, Holm over {num_others} {'arm' if num_others == 1 else 'arms'})"
    )
    accuracies: dict[str, dict[int, float]] = {}
    for record in records:
        accuracies.setdefault(record.arm, {})[record.seed] = 100 * record.metrics.test_score
    control = next(iter(arms))
    contrasts = pooled_contrasts(accuracies, control) if control in accuracies else {}
    spreads = [contrast.residual_sd for contrast in contrasts.values() if contrast]
    if not spreads:
        return start
    points = units * spreads[0]
    if points >= 100:
        return f"{start}, which by the runs finished so far is more than the 100 points there are"
    return f"{start}, {points:.2f} points by the runs finished so far"
