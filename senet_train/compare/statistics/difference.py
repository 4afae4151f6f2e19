"""An arm against its control: its figures, its verdict, and the words for it."""

from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.statistics.contrast import Contrast, paired_contrast
from senet_train.compare.statistics.dispersion import Dispersion, times
from senet_train.compare.statistics.looks import (
    FIRST_LOOK,
    POWER,
    JudgedArm,
    Rule,
    detectable_in_sd,
)
from senet_train.errors import counted

Verdict = Literal["better", "worse", "equivalent", "undecided", "withheld", "silent"]
MOST_SEEDS = 1000  # beyond, a number of seeds is no advice


@dataclass(frozen=True)
class Standing:
    """The seeds of an arm, beside their scores.

    `declared` is how many its plan declares, 0 without a plan; `finished` how many of them, from
    the first on, looks can count. `lost` and `lost_by_control` say which runs of the arm and of its
    control have diverged or failed, "" for none.
    """

    declared: int
    finished: int
    lost: str = ""
    lost_by_control: str = ""

    @property
    def losses(self) -> str:
        """All runs that were lost."""
        return "; ".join(filter(None, (self.lost, self.lost_by_control)))


@dataclass(frozen=True)
class Difference:
    """An arm against the control, in points; None is what the runs cannot give.

    `difference`, its interval `low` to `high` (95 %), `paired_p`, `pooled_p` (neither adjusted) and
    `residual_sd` (that of one run) are of all shared seeds. `p` and `p_equivalence` give the
    verdict: they are adjusted by Holm's method and of the first `look` seeds of the study; `error`
    is what that look may spend. `look` is the one that settled the arm, else the last that it
    reached. `declared` is the number of seeds that a plan declares, 0 without a plan. `advice`
    says, a line each, what the seeds can show and what would settle an open verdict. `dispersion`
    has how the variance over seeds compares with what independent test images explain.
    """

    arm: str
    num_seeds: int
    look: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    paired_p: float | None
    pooled_p: float | None
    p_equivalence: float | None
    residual_sd: float | None
    error: float
    verdict: Verdict
    words: str
    declared: int = 0
    advice: tuple[str, ...] = ()
    dispersion: Dispersion | None = None

    @property
    def shrunken(self) -> float | None:
        """The difference, less what it owes to chance: d max(0, 1 - (error / d)^2).

        An arm that stops once it is settled stops where chance helped it: its difference is too
        large. This is the positive-part estimate of James and Stein (1961) for a single mean. How
        much nearer to the truth it is: docs/evidence/auto_seeds.md.
        """
        if not self.difference or self.residual_sd is None:
            return self.difference
        error = self.residual_sd * sqrt(2 / self.num_seeds)
        return self.difference * max(0.0, 1 - (error / self.difference) ** 2)


def difference_of(
    arm: str,
    differences: NDArray[np.float64],
    judged: JudgedArm | None,
    pooled: Contrast | None,
    rule: Rule,
    margin: float,
    standing: Standing,
) -> Difference:
    """An arm's figures, of all shared seeds, and its verdict, from its test."""
    plain = paired_contrast(differences)
    low, high = map(within_100, plain.interval()) if plain else (None, None)
    look = judged.look if judged else rule.reached(standing.finished)
    found = Difference(
        arm=arm,
        num_seeds=len(differences),
        look=look,
        difference=float(differences.mean()) if len(differences) else None,
        low=low,
        high=high,
        p=judged.p if judged else None,
        paired_p=plain.p_value() if plain else None,
        pooled_p=pooled.p_value() if pooled else None,
        p_equivalence=judged.p_equivalence if judged else None,
        residual_sd=plain.residual_sd if plain else None,
        error=rule.looks.get(look, 0.0),
        verdict=verdict_of(judged, rule, standing),
        words="",
        declared=standing.declared,
    )
    words = words_of(found, judged, rule, margin, standing)
    return replace(found, words=words, advice=advice_of(found, rule, margin))


def within_100(points: float) -> float:
    """No difference of two percentages is beyond 100 points."""
    return max(-100.0, min(points, 100.0))


def verdict_of(judged: JudgedArm | None, rule: Rule, standing: Standing) -> Verdict:
    """The verdict of a test.

    A mean without the runs that were lost is never called better than the other, or equal to it.
    """
    if judged is None and not rule.reached(standing.finished):
        return "undecided" if standing.declared and rule.looks else "silent"
    if judged is None:
        return "undecided"
    if judged.differs:
        better = judged.contrast.difference > 0
        lost = standing.lost if better else standing.lost_by_control
        if lost and not standing.declared:  # a plan's looks count no seed behind a lost one
            return "withheld"
        return "better" if better else "worse"
    if judged.skewed or (judged.equivalent and standing.losses and not standing.declared):
        return "withheld"
    return "equivalent" if judged.equivalent else "undecided"


def words_of(
    found: Difference, judged: JudgedArm | None, rule: Rule, margin: float, standing: Standing
) -> str:
    """The verdict in words."""
    if judged is not None and found.verdict in ("better", "worse"):
        less = f", but by less than {margin:g} points" if judged.equivalent else ""
        return found.verdict + less
    if found.verdict == "equivalent":
        return f"equivalent within +-{margin:g} points"
    if found.verdict == "withheld":
        return withheld_words(judged, standing)
    if found.verdict == "silent":
        return words_before_first_look(found.num_seeds, rule)
    if standing.declared:
        return planned_words(found, judged, standing)
    if judged is None:
        return "undecided: the difference is the same at every seed of the look"
    lost = f"; {standing.losses}" if standing.losses else ""
    return undecided_words(found, rule, margin) + lost


def withheld_words(judged: JudgedArm | None, standing: Standing) -> str:
    """Why a verdict is withheld."""
    if judged is not None and judged.skewed:
        return "withheld: the differences are skewed, some runs of the better arm lose points"
    return f"withheld: {standing.losses}, and the mean of the other runs does not count them"


def planned_words(found: Difference, judged: JudgedArm | None, standing: Standing) -> str:
    """The words for an open verdict of a plan."""
    count = f"{standing.finished} of {standing.declared} declared seeds"
    if standing.losses:
        return f"undecided ({count}): {standing.losses}, and no mean is taken without them"
    if found.look and judged is None:
        return f"undecided ({count}): the difference is the same at every seed"
    return f"undecided ({count})"


def words_before_first_look(num_seeds: int, rule: Rule) -> str:
    """Why there is no verdict before the first look."""
    if num_seeds == 0:
        return "no verdict: no seed is shared with the control"
    if num_seeds == 1:
        return "nothing can be said from one seed: its difference may be all noise"
    first = min(rule.looks, default=FIRST_LOOK)
    return f"no verdict at {num_seeds} seeds: the first look is at {first}"


def undecided_words(found: Difference, rule: Rule, margin: float) -> str:
    """How many more seeds would settle an arm without a plan.

    That is, show a difference as large as the margin or the one seen, the larger, with power 0.8.
    """
    if found.difference is None or found.residual_sd is None:
        return "undecided: there is no noise to plan by"
    size = max(margin, abs(found.difference))
    settles = f"would settle a difference of {size:.2g} points"
    more = rule.seeds_to_settle(found.arm, size, found.residual_sd, found.num_seeds)
    if more:
        return f"undecided: about {counted(more, 'more seed')} {settles}"
    if found.num_seeds >= rule.last:
        return f"undecided at {rule.last} seeds, the last planned look"
    return f"undecided: more than {rule.last - found.num_seeds} more seeds {settles}"


def advice_of(found: Difference, rule: Rule, margin: float) -> tuple[str, ...]:
    """What the declared seeds can show of an open arm, and what the difference seen would take."""
    open_plan = found.declared and found.verdict in ("undecided", "withheld")
    if not open_plan or not found.look or not found.residual_sd or found.difference is None:
        return ()
    arms = counted(len(rule.weights), "arm")
    shown = found.residual_sd * rule.detectable_in_sd(found.arm, found.look)
    can = f"{found.look} seeds and {arms} can show {shown:.2g} points (power {POWER})"
    size = max(margin, abs(found.difference))
    if size >= shown:
        return (can,)
    level = rule.looks[rule.last] * rule.weights[found.arm]
    needed = seeds_needed(size / found.residual_sd, level)
    many = f"about {needed}" if needed else f"more than {MOST_SEEDS}"
    return (f"{can}; {size:.2g} points would take {many} seeds, declared from the start",)


def with_dispersion(found: Difference, dispersion: Dispersion | None) -> Difference:
    """The same with its dispersion, and what follows from it where the verdict is open."""
    advice = found.advice
    if found.verdict == "undecided" and dispersion:
        much = f"the variance over seeds is {times(dispersion)} what independent images explain"
        if dispersion.is_excessive:
            advice = (*advice, f"{much}: train longer, or average more seeds")
        elif found.advice:  # that may ask for hundreds of seeds
            advice = (*advice, f"{much}: more test images help, as more seeds do")
    return replace(found, dispersion=dispersion, advice=advice)


def seeds_needed(size_in_sd: float, level: float) -> int:
    """The fewest seeds at which a test at `level` shows the difference; 0 above `MOST_SEEDS`."""
    low, high = 3, MOST_SEEDS  # fewer seeds never show more
    if detectable_in_sd(level, high) > size_in_sd:
        return 0
    while low < high:
        middle = (low + high) // 2
        enough = detectable_in_sd(level, middle) <= size_in_sd
        low, high = (low, middle) if enough else (middle + 1, high)
    return low
