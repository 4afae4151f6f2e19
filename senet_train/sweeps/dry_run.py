"""`dry_run=true`: what a table would cost, and which differences it could show.

The latter is said before training as well.
"""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from rich.table import Column, Table

from senet_train.compare import CONTROL
from senet_train.compare.statistics.contrast import pooled_contrasts
from senet_train.compare.statistics.difference import seeds_needed
from senet_train.compare.statistics.looks import FIRST_LOOK, POWER, Rule, unplanned
from senet_train.compare.statistics.noise import noise_of as noise_of_runs
from senet_train.errors import InputError, counted
from senet_train.runs.folder import RunFolder, names_in
from senet_train.runs.record import RunRecord, read_record
from senet_train.sweeps.controls import blocks_of, control_among
from senet_train.system.console import output_console, say
from senet_train.training.notices import known_images
from senet_train.training.plan import Plan

log = logging.getLogger("senet_train")


def print_dry_run(plans: Sequence[Plan], rules: Mapping[str, Rule]) -> None:
    """Print arms, images, runs finished and left, hours, and the smallest difference to be shown.

    `rules` has the rule of its plan for every arm that has one.
    """
    found = {plan.folder: record_of(plan.folder) for plan in plans}
    records = [record for record in found.values() if record]
    arms = by_arm(plans)
    print_arms(arms, records)
    left = len(plans) - len(records)
    say(*images_of(plans), f"left to train: {left} of {counted(len(plans), 'run')}")
    blocks = blocks_by_control(arms)
    alone = {control: records_of_arm(arms[control][0].folder, found) for control in blocks}
    say(hours_left(arms, records, [record for runs in alone.values() for record in runs]))
    lines = [
        forecast(control, block, rules, noise_of(control, block, records, alone[control]))
        for control, block in blocks.items()
    ]
    say(*dict.fromkeys(lines))


def announce(plans: Sequence[Plan], rules: Mapping[str, Rule]) -> None:
    """Log what a table is trained on, and which differences it can show, before it is trained."""
    blocks = blocks_by_control(by_arm(plans))
    compared = {control: block for control, block in blocks.items() if len(block) > 1}
    lines = [forecast(control, block, rules, None) for control, block in compared.items()]
    for line in (*images_of(plans), *dict.fromkeys(lines)):
        log.info("%s", line)


def by_arm(plans: Sequence[Plan]) -> dict[str, list[Plan]]:
    """The runs of each arm."""
    arms: dict[str, list[Plan]] = {}
    for plan in plans:
        arms.setdefault(plan.identity.arm, []).append(plan)
    return arms


def blocks_by_control(arms: dict[str, list[Plan]]) -> dict[str, dict[str, Sequence[Plan]]]:
    """The blocks of a table by their control's arm; the first arm where none is the control."""
    return {control_among(b, CONTROL) or next(iter(b)): b for b in blocks_of(arms)}


def images_of(plans: Sequence[Plan]) -> list[str]:
    """A line on the images of a table, where they can be counted: one for each data set."""
    return list(dict.fromkeys(f"data: {words}" for plan in plans for words in known_images(plan)))


def print_arms(arms: Mapping[str, Sequence[Plan]], records: Sequence[RunRecord]) -> None:
    """Print the arms, what their networks cost, and how many of their runs have finished."""
    finished = [(record.arm, record.seed) for record in records]
    arm_column = Column("arm", overflow="fold")
    table = Table(arm_column, "parameters", "multiply-adds", "runs", "finished")
    for arm, runs in arms.items():
        done = sum((arm, run.config.seed) in finished for run in runs)
        cost = runs[0].cost
        adds = f"{cost.multiply_adds / 1e6:,.2f} M"
        table.add_row(arm, f"{cost.parameters:,}", adds, str(len(runs)), str(done))
    output_console().print(table)


def record_of(folder: RunFolder) -> RunRecord | None:
    """The finished run's record; None where there is none, or a damaged one, which is logged."""
    if not folder.finished:
        return None
    try:
        return read_record(folder.path / "result.json")
    except InputError as error:
        log.warning("warning: %s", error)
        return None


def records_of_arm(
    folder: RunFolder, read: Mapping[RunFolder, RunRecord | None]
) -> list[RunRecord]:
    """Those of all finished runs of an arm, also at seeds that are not of the table.

    `read` has the folders that were read already: a damaged record is logged once.
    """
    matches = (re.fullmatch(r"seed(\d+)", name) for name in names_in(folder.path.parent))
    folders = [replace(folder, seed=seed) for seed in sorted(int(m[1]) for m in matches if m)]
    every = [read[place] if place in read else record_of(place) for place in folders]
    return [record for record in every if record]


def hours_left(
    arms: dict[str, list[Plan]], records: Sequence[RunRecord], of_controls: Sequence[RunRecord]
) -> str:
    """From the finished runs of each arm, or of all arms where one has none yet, or of controls.

    `of_controls` are runs of the controls at any seeds.
    """
    timed = [record.cost.seconds for record in records or of_controls]
    if not timed:
        return "hours: unknown until one run of the table has finished"
    seconds = 0.0
    for arm, runs in arms.items():
        known = [record.cost.seconds for record in records if record.arm == arm]
        seconds += (len(runs) - len(known)) * fmean(known or timed)
    return f"hours: about {seconds / 3600:.2g}, one run after the other, as the finished runs took"


def forecast(
    control: str,
    block: Mapping[str, Sequence[Plan]],
    rules: Mapping[str, Rule],
    noise: tuple[float, str] | None,
) -> str:
    """What the comparison of a block's arms with its control can show."""
    others = [arm for arm in block if arm != control]
    planned = [rules[arm] for arm in others if arm in rules]
    rule = planned[0] if planned else unplanned(others)
    return smallest_difference(others, max(map(len, block.values())), rule, noise)


def smallest_difference(
    others: Sequence[str], num_seeds: int, rule: Rule, noise: tuple[float, str] | None
) -> str:
    """What a comparison of the arms with their control has an 80 % chance to see, if it is there.

    `rule` is that of the table's plan. `noise` is the residual sd in points, and what it is from.
    """
    if not others:
        return "one arm: nothing to compare it with"
    if not rule.reached(num_seeds):
        return f"no verdict at {counted(num_seeds, 'seed')}: it takes {FIRST_LOOK}"
    every = [rule.detectable_in_sd(arm, num_seeds) for arm in others if arm in rule.weights]
    units = max(every)
    primary = f"; the primary arm's of {min(every):.1f}" if min(every) < units else ""
    start = (
        f"{num_seeds} seeds show differences of {units:.1f} residual standard deviations "
        f"(power {POWER}, Holm over {counted(len(rule.weights), 'arm')}{primary})"
    )
    return f"{start}{in_points(units, noise)}{more_for_two(units, rule)}"


def in_points(units: float, noise: tuple[float, str] | None) -> str:
    """How much so many residual standard deviations are; "" where no run says it."""
    if noise is None:
        return ""
    sd, source = noise
    if units * sd >= 100:
        return f", which by {source} is more than the 100 points there are"
    return f", {units * sd:.2f} points by {source}"


def more_for_two(units: float, rule: Rule) -> str:
    """How many declared seeds show a difference of two; "" where these do, or where no plan is."""
    if units <= 2 or len(rule.looks) != 1:
        return ""
    needed = seeds_needed(2, rule.looks[rule.last] * min(rule.weights.values()))
    return f"; for differences of 2, declare {needed} seeds" if needed else ""


def noise_of(
    control: str,
    arms: Collection[str],
    records: Sequence[RunRecord],
    of_control: Sequence[RunRecord],
) -> tuple[float, str] | None:
    """The residual sd in points, and what it is from; None where too few runs have finished.

    From the table's runs, where an arm and the control share seeds. Else from the control's alone,
    such as a noise study has: what a run scatters by is the residual, if seeds pair nothing.
    """
    accuracies: dict[str, dict[int, float]] = {}
    for record in records:
        accuracies.setdefault(record.arm, {})[record.seed] = 100 * record.metrics.test_score
    table = {arm: runs for arm, runs in accuracies.items() if arm in arms}
    contrasts = pooled_contrasts(table, control) if control in table else {}
    if contrasts:
        return next(iter(contrasts.values())).residual_sd, "the runs finished so far"
    scores = [100 * record.metrics.test_score for record in of_control]
    sd = noise_of_runs(scores).sd if len(scores) > 1 else 0.0
    return (sd, f"{len(scores)} runs of {of_control[0].label}") if sd else None
