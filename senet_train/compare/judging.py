"""The verdict on every arm: by the plan that counts its runs, else by the looks without a plan.

The arms of a plan share its error, in whatever block of the comparison they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from senet_train.compare import MARGIN
from senet_train.compare.comparison import Basis, DeclaredPlan
from senet_train.compare.statistics.contrast import Contrast, pooled_contrasts
from senet_train.compare.statistics.difference import Difference, Standing, difference_of
from senet_train.compare.statistics.looks import (
    LOOKS,
    Rule,
    judge_at_every_look,
    unplanned,
    weights_of,
)
from senet_train.compare.statistics.verdict import check_input
from senet_train.compare.studies import Contest, Counted, count_seeds, score
from senet_train.errors import InputError
from senet_train.runs.study_plan import Chain

# The order of the seeds that a look takes.
DECLARED = "in the order declared"
STARTED = "in the order in which their runs were started"

Key = tuple[int, str]  # the number of a block, the folder of an arm


@dataclass(frozen=True)
class Judged:
    """The verdicts, by block and arm; by block, what judged it and what is noted; the margin."""

    differences: dict[Key, Difference]
    bases: dict[int, list[Basis]]
    notes: dict[int, list[str]]
    margin: float


def judge_contests(contests: Sequence[Contest], asked: float | None) -> Judged:
    """Judge every arm. `asked` is the margin that the user names, if any.

    Raises InputError for a margin that a plan does not have, and for a plan that was changed.
    """
    planned, notes = count_seeds(contests)
    margin = margin_of(planned, asked)
    pooled = pooled_by_block(contests, margin)
    differences: dict[Key, Difference] = {}
    bases: dict[int, list[Basis]] = {}
    for group in by_chain(planned):
        differences |= judged_by_plan(group, pooled)
        for number in dict.fromkeys(one.contest.block for one in group):
            arms = [one.contest.arm.folder for one in group if one.contest.block == number]
            names = {one.declared: one.contest.arm.folder for one in group}
            bases.setdefault(number, []).append(basis_of(group[0].chain, arms, names))
    rest = [contest for contest in contests if contest.key not in differences]
    for number in dict.fromkeys(contest.block for contest in rest):
        alone = [contest for contest in rest if contest.block == number]
        differences |= judged_without_plan(alone, margin, pooled)
        arms = [contest.arm.folder for contest in alone]
        bases.setdefault(number, []).append(without_plan(arms, STARTED))
    return Judged(differences, bases, notes, margin)


def margin_of(planned: Sequence[Counted], asked: float | None) -> float:
    """The margin of the comparison: asked for, else the plans', else 0.3. Raises InputError."""
    declared = {one.chain.last.margin: one.chain.last.name for one in planned}
    for margin, name in declared.items():
        if asked not in (None, margin):
            raise InputError(
                f"--margin {asked:g}: the plan {name} declares {margin:g}, leave --margin out"
            )
    if asked is not None:
        return asked
    return next(iter(declared)) if len(declared) == 1 else MARGIN


def pooled_by_block(contests: Sequence[Contest], margin: float) -> dict[Key, Contrast]:
    """Every arm's contrast in the fit of its whole block. Raises InputError as `judge` does."""
    found: dict[Key, Contrast] = {}
    for number in dict.fromkeys(contest.block for contest in contests):
        group = [contest for contest in contests if contest.block == number]
        control = group[0].control
        accuracies = {
            arm.folder: {seed: score(run) for seed, run in arm.runs.items()}
            for arm in (control, *(contest.arm for contest in group))
        }
        check_input(accuracies, control.folder, margin)
        contrasts = pooled_contrasts(accuracies, control.folder)
        found |= {(number, arm): contrast for arm, contrast in contrasts.items()}
    return found


def by_chain(planned: Sequence[Counted]) -> list[list[Counted]]:
    """The contests of each chain of plans; of one arm in two blocks, that with more seeds."""
    groups: dict[int, dict[str, Counted]] = {}
    for one in planned:
        arms = groups.setdefault(id(one.chain), {})
        other = arms.get(one.contest.arm.folder)
        if other is None or len(other.seeds) < len(one.seeds):
            arms[one.contest.arm.folder] = one
    return [list(arms.values()) for arms in groups.values()]


def rule_of(chain: Chain, names: Mapping[str, str]) -> Rule:
    """The looks of a plan and its extensions, and the weights of its arms.

    `names` has the folder of each arm whose name in the plan is another.
    """
    arms = [one.arm for one in chain.last.arms]
    looks = {look.seeds: look.error for look in chain.looks}
    weights = weights_of(arms, chain.last.primary)
    return Rule(looks, {names.get(arm, arm): weight for arm, weight in weights.items()})


def judged_by_plan(
    group: Sequence[Counted], pooled: Mapping[Key, Contrast]
) -> dict[Key, Difference]:
    """The verdicts on the arms of one chain of plans."""
    names = {one.declared: one.contest.arm.folder for one in group}
    plan, rule = group[0].chain.last, rule_of(group[0].chain, names)
    paired = {one.contest.arm.folder: one.contest.differences(one.seeds) for one in group}
    judged = judge_at_every_look(paired, rule, plan.margin)
    return {
        one.contest.key: difference_of(
            one.contest.arm.folder,
            one.contest.differences(one.contest.shared),
            judged.get(one.contest.arm.folder),
            pooled.get(one.contest.key),
            rule,
            plan.margin,
            standing_of(one.contest, len(plan.seeds), len(one.seeds)),
        )
        for one in group
    }


def judged_without_plan(
    group: Sequence[Contest], margin: float, pooled: Mapping[Key, Contrast]
) -> dict[Key, Difference]:
    """The verdicts on the arms of one block that no plan judges."""
    paired = {contest.arm.folder: contest.differences(contest.shared) for contest in group}
    rule = unplanned(list(paired))
    judged = judge_at_every_look(paired, rule, margin)
    return {
        contest.key: difference_of(
            contest.arm.folder,
            paired[contest.arm.folder],
            judged.get(contest.arm.folder),
            pooled.get(contest.key),
            rule,
            margin,
            standing_of(contest, 0, len(paired[contest.arm.folder])),
        )
        for contest in group
    }


def standing_of(contest: Contest, declared: int, finished: int) -> Standing:
    """What is known of the seeds of a contest, with the runs that were lost."""
    return Standing(
        declared,
        finished,
        lost_words(contest.arm.label, contest.lost),
        lost_words(contest.control.label, contest.lost_by_control),
    )


def lost_words(label: str, lost: Mapping[int, str]) -> str:
    """`se_resnet20-r4: seed 3 diverged`, "" for none."""
    each = ", ".join(f"seed {seed} {state}" for seed, state in sorted(lost.items()))
    return f"{label}: {each}" if lost else ""


def basis_of(chain: Chain, arms: Sequence[str], names: Mapping[str, str]) -> Basis:
    """The plan and its extensions, for these arms of a block; `names` as in `rule_of`."""
    last = chain.last
    return Basis(
        arms=list(arms),
        family=len(last.arms),
        looks={look.seeds: look.error for look in chain.looks},
        order=DECLARED,
        plans=[
            DeclaredPlan(plan.reference.name, plan.declared, plan.reference.sha256)
            for plan in chain.plans
        ],
        primary=names.get(last.primary, last.primary),
        kept=last.kept,
        declared=len(last.seeds),
    )


def without_plan(arms: Sequence[str], order: str) -> Basis:
    """The looks of runs that no plan counts."""
    return Basis(list(arms), len(arms), dict(LOOKS), order)
