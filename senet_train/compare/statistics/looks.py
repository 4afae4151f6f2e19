"""Planned looks: at how many seeds a table is judged, at what error; one look; what it can show.

A table grows seed by seed and is looked at more than once. Each look spends its own part of the
error; the parts sum to 0.05, so by Bonferroni's inequality the whole study errs at most so often,
however the looks depend on each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from senet_train.compare.statistics.contrast import Contrast, paired_contrast

# Seeds -> error spent. Two degrees of freedom show only differences of some 15 residual sd at any
# affordable error, so the look at 3 seeds gets little. The presets train 5 seeds and most studies
# end there, so that look gets most; the later ones have seeds enough and share the rest.
LOOKS: dict[int, float] = {3: 0.005, 5: 0.015, 8: 0.01, 12: 0.01, 20: 0.01}
LAST_LOOK = max(LOOKS)
POWER = 0.8
# seeds=auto goes on while a look would settle the difference seen with at least this power: an
# estimate from 3 or 5 seeds is off by half, and a plan for 0.8 would give up on what it can show.
POWER_TO_CONTINUE = 1 / 3


def look_reached(num_seeds: int) -> int:
    """The largest planned look at or below `num_seeds`; 0 if there is none."""
    return max((look for look in LOOKS if look <= num_seeds), default=0)


def next_look(num_seeds: int) -> int | None:
    """The first planned look above `num_seeds`; None after the last."""
    return next((look for look in LOOKS if look > num_seeds), None)


@dataclass(frozen=True)
class JudgedArm:
    """An arm at a look: `p` against no difference, `p_equivalence` against one of the margin.

    Both are adjusted by Holm's method; `error` is what the look may spend.
    """

    look: int
    contrast: Contrast
    p: float
    p_equivalence: float
    error: float

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
        return self.p_equivalence <= self.error


def judge_at_look(
    paired: Mapping[str, NDArray[np.float64]],
    look: int,
    margin: float,
    settled: Mapping[str, JudgedArm],
) -> dict[str, JudgedArm]:
    """Test every open arm on the first `look` of its paired differences.

    An arm whose differences are all equal is left out: there is no noise to judge it by. `settled`
    arms got their verdict at an earlier look and are not tested again; what that look showed leaves
    Holm's family. All other arms stay in the family, with p = 1 if they have fewer seeds or have
    stopped: else each arm that reaches the look alone would spend the look's whole error again.
    """
    contrasts = {
        arm: paired_contrast(differences[:look])
        for arm, differences in paired.items()
        if len(differences) >= look and arm not in settled
    }
    open_arms = {arm: contrast for arm, contrast in contrasts.items() if contrast}
    p = holm_in_family(
        {arm: contrast.p_value() for arm, contrast in open_arms.items()},
        len(paired) - sum(before.differs for before in settled.values()),
    )
    p_equivalence = holm_in_family(
        {arm: contrast.p_equivalence(margin) for arm, contrast in open_arms.items()},
        len(paired) - sum(before.equivalent for before in settled.values()),
    )
    return {
        arm: JudgedArm(look, contrast, p[arm], p_equivalence[arm], LOOKS[look])
        for arm, contrast in open_arms.items()
    }


def holm_in_family(p_values: Mapping[str, float], num_questions: int) -> dict[str, float]:
    """Holm's p-values in a family of `num_questions`; those that are not given have p = 1."""
    if not p_values:
        return {}
    others = [1.0] * (num_questions - len(p_values))
    return dict(zip(p_values, holm([*p_values.values(), *others]), strict=False))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values (Holm 1979), in the order given."""
    # Each call costs 0.05 s in a heap with scipy and pandas: statsmodels 0.15 collects garbage
    # here. A program that calls it often does well to call gc.freeze() once its modules are in.
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


@cache
def detectable_in_sd(num_arms: int, num_seeds: int, power: float = POWER) -> float:
    """The smallest true difference shown with this power, in units of the residual sd.

    For the paired t at the error of the look that `num_seeds` reach, at the first step of Holm
    over `num_arms` arms beside the control: a noncentral t with look - 1 degrees of freedom.
    Infinite below the first look.
    """
    look = look_reached(num_seeds)
    if not look:
        return inf
    threshold = stats.t.isf(LOOKS[look] / num_arms / 2, look - 1)
    noncentrality = special.nctdtrinc(look - 1, 1 - power, threshold)
    return float(noncentrality) * sqrt(2 / look)


def detectable_difference(residual_sd: float, num_arms: int, num_seeds: int) -> float:
    """`detectable_in_sd` in the units of `residual_sd`: points of accuracy if that is in points.

    The residual sd is that of one run once arm and seed are taken out: the sd of the paired
    differences over the square root of 2.
    """
    return residual_sd * detectable_in_sd(num_arms, num_seeds)


def seeds_to_settle(
    difference: float, residual_sd: float, num_arms: int, num_seeds: int
) -> int | None:
    """How many more seeds reach the first later look that shows `difference` with power 0.8.

    `difference` and `residual_sd` are in points. None if even the last look would not show it.
    """
    for look in LOOKS:
        if look > num_seeds and detectable_difference(residual_sd, num_arms, look) <= difference:
            return look - num_seeds
    return None
