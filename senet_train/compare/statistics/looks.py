"""Looks: at how many seeds a study is tested, at what error; one look; what it can show.

A study grows seed by seed and is looked at more than once. Each look spends its own part of the
error of 0.05; by Bonferroni's inequality the whole study errs at most so often, however the looks
depend on each other. A plan declares its looks before the first run. Runs without a plan are
looked at as `LOOKS` says, whatever becomes of them: most of that error is kept for looks that
never come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

from senet_train.compare.statistics.contrast import Contrast, paired_contrast

# Seeds -> error spent, without a plan. With two degrees of freedom only a large difference shows,
# so the look at 3 seeds gets little. Most studies end at 5 seeds, so that look gets most.
LOOKS: dict[int, float] = {3: 0.005, 5: 0.015, 8: 0.01, 12: 0.01, 20: 0.01}
FIRST_LOOK = min(LOOKS)
POWER = 0.8
# seeds=auto goes on while a look would settle the difference seen with at least this power: an
# estimate from 3 or 5 seeds is off by half, and a plan for 0.8 would give up on what it can show.
POWER_TO_CONTINUE = 1 / 3
# Skewness is tested from 8 differences on (D'Agostino 1970: below, its normal form is no good).
FEWEST_FOR_SKEWNESS = 8
SKEWED = 0.003  # at 0.01 it costs 7 points of power at 30 seeds with heavy tails and helps no more


@dataclass(frozen=True)
class Rule:
    """The looks of a study, as seeds -> error, and each arm's weight; the weights sum to 1."""

    looks: Mapping[int, float]
    weights: Mapping[str, float]

    @property
    def last(self) -> int:
        """The last look; 0 of a study without looks."""
        return max(self.looks, default=0)

    def reached(self, num_seeds: int) -> int:
        """The largest look at or below `num_seeds`; 0 if there is none."""
        return max((look for look in self.looks if look <= num_seeds), default=0)

    def next(self, num_seeds: int) -> int | None:
        """The first look above `num_seeds`; None after the last."""
        return min((look for look in self.looks if look > num_seeds), default=None)

    def detectable_in_sd(self, arm: str, num_seeds: int, power: float = POWER) -> float:
        """What the look that `num_seeds` reach shows of the arm, in units of the residual sd.

        At the first step of Holm's method. Infinite below the first look.
        """
        look = self.reached(num_seeds)
        return detectable_in_sd(self.looks[look] * self.weights[arm], look, power) if look else inf

    def seeds_to_settle(
        self, arm: str, difference: float, residual_sd: float, num_seeds: int
    ) -> int | None:
        """How many more seeds reach the first later look that shows `difference` with power 0.8.

        `difference` and `residual_sd` are in points. None if even the last look would not show it.
        """
        for look in sorted(self.looks):
            shown = residual_sd * self.detectable_in_sd(arm, look)
            if look > num_seeds and shown <= difference:
                return look - num_seeds
        return None


def unplanned(arms: Sequence[str]) -> Rule:
    """The rule for runs that no plan counts."""
    return Rule(LOOKS, dict.fromkeys(arms, 1 / max(len(arms), 1)))


def weights_of(arms: Sequence[str], primary: str) -> dict[str, float]:
    """Half of the error for the primary arm, and the rest in equal parts; without one, all equal.

    `primary` is one of the arms, or "".
    """
    if not primary or len(arms) == 1:
        return dict.fromkeys(arms, 1 / len(arms))
    return {arm: 0.5 if arm == primary else 0.5 / (len(arms) - 1) for arm in arms}


def errors_of_looks(looks: Sequence[int], error: float) -> dict[int, float]:
    """How a study that grows to the last of the looks spends `error`: as the square of its seeds.

    One look spends all of it. Of several, the late ones have most, where there is most to see.
    """
    ordered = sorted(looks)
    spent = [error * (look / ordered[-1]) ** 2 for look in ordered]
    before = [0.0, *spent[:-1]]
    return {look: now - then for look, now, then in zip(ordered, spent, before, strict=False)}


@dataclass(frozen=True)
class JudgedArm:
    """An arm at a look: `p` against no difference, `p_equivalence` against one of the margin.

    Both are adjusted by Holm's method over the arms of the study, with the arms' weights; `error`
    is what the look may spend. `skewed`: it would be called better or worse, and the differences
    are skewed towards the other side, so that their t-test cannot be relied on.
    """

    look: int
    contrast: Contrast
    p: float
    p_equivalence: float
    error: float
    skewed: bool = False

    @property
    def differs(self) -> bool:
        """Whether it is better or worse; the sign of the contrast says which."""
        return self.p <= self.error

    @property
    def settled(self) -> bool:
        """Whether there is a verdict, which no later look changes."""
        return self.differs or self.equivalent

    @property
    def equivalent(self) -> bool:
        """Whether it differs from the control by less than the margin."""
        return self.p_equivalence <= self.error and not self.skewed


def judge_at_every_look(
    paired: Mapping[str, NDArray[np.float64]], rule: Rule, margin: float
) -> dict[str, JudgedArm]:
    """The test of every arm at the look that settled it, else at the last look it reached.

    `paired` is arm -> differences from its control (num_seeds,), in the order of the looks.
    """
    most = max(map(len, paired.values()), default=0)
    found: dict[str, JudgedArm] = {}
    for look in sorted(rule.looks):
        if look <= most:
            settled = {arm: judged for arm, judged in found.items() if judged.settled}
            found |= judge_at_look(paired, look, rule, margin, settled)
    return found


def judge_at_look(
    paired: Mapping[str, NDArray[np.float64]],
    look: int,
    rule: Rule,
    margin: float,
    settled: Mapping[str, JudgedArm],
) -> dict[str, JudgedArm]:
    """Test every open arm on the first `look` of its paired differences.

    An arm whose differences are all equal is left out: there is no noise to judge it by. `settled`
    arms got their verdict at an earlier look and are not tested again; what that look showed leaves
    Holm's family. All other arms stay in the family, with p = 1 if they have fewer seeds or have
    stopped: else each arm that reaches the look alone would spend the look's whole error again.
    """
    found = {
        arm: (contrast, differences[:look])
        for arm, differences in paired.items()
        if len(differences) >= look
        and arm not in settled
        and (contrast := paired_contrast(differences[:look]))
    }
    error = rule.looks[look]
    unshown = {arm: weight for arm, weight in rule.weights.items() if not differs(arm, settled)}
    p = {arm: contrast.p_value() for arm, (contrast, _) in found.items()}
    adjusted = weighted_holm(p, unshown)
    skewed = {
        arm
        for arm, (contrast, differences) in found.items()
        if adjusted[arm] <= error and is_skewed_against(differences, contrast.difference)
    }
    if skewed:  # they stay in the family, as arms about which nothing was shown
        adjusted = weighted_holm({**p, **dict.fromkeys(skewed, 1.0)}, unshown)
    p_equivalence = weighted_holm(
        {arm: contrast.p_equivalence(margin) for arm, (contrast, _) in found.items()},
        {a: w for a, w in rule.weights.items() if not (a in settled and settled[a].equivalent)},
    )
    return {
        arm: JudgedArm(look, contrast, adjusted[arm], p_equivalence[arm], error, arm in skewed)
        for arm, (contrast, _) in found.items()
    }


def differs(arm: str, settled: Mapping[str, JudgedArm]) -> bool:
    """Whether an earlier look has shown the arm to be better or worse."""
    return arm in settled and settled[arm].differs


def weighted_holm(p_values: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down p-values with weights (Holm 1979), for the arms in `p_values`.

    Of `weights`, arms without a p-value count as p = 1. In each step the arm with the smallest
    p / weight is next, and its p is compared with its part of what the arms left weigh.
    """
    steps = sorted(p_values, key=lambda arm: p_values[arm] / weights[arm])
    left, largest, adjusted = sum(weights.values()), 0.0, {}
    for arm in steps:
        largest = max(largest, min(1.0, p_values[arm] * left / weights[arm]))
        adjusted[arm] = largest
        left -= weights[arm]
    return {arm: adjusted[arm] for arm in p_values}


def is_skewed_against(differences: NDArray[np.float64], mean: float) -> bool:
    """Whether the differences have a long tail on the side opposite to their mean.

    So they look where some runs of the arm that seems better lose points: then the mean of those
    that did not is too good. By D'Agostino's test, one-sided, at `SKEWED`; never below 8
    differences, where no test sees it.
    """
    if len(differences) < FEWEST_FOR_SKEWNESS:
        return False
    from scipy import stats  # a second to import

    towards = np.sign(mean) * differences
    return float(stats.skewtest(towards, alternative="less").pvalue) <= SKEWED


@cache
def detectable_in_sd(level: float, look: int, power: float = POWER) -> float:
    """The smallest true difference shown with this power, in units of the residual sd.

    For the two-sided paired t at `level` with `look` seeds: a noncentral t with look - 1 degrees of
    freedom. The residual sd is that of one run once arm and seed are taken out: the sd of the
    paired differences over the square root of 2.
    """
    threshold = -special.stdtrit(look - 1, level / 2)
    noncentrality = special.nctdtrinc(look - 1, 1 - power, threshold)
    return float(noncentrality) * sqrt(2 / look)
