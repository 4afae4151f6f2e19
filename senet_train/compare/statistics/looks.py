"""Planned looks: at how many seeds a table is judged, at what error, and what that can show.

A table grows seed by seed and is looked at more than once. Each look spends its own part of the
error; the parts sum to 0.05, so by Bonferroni's inequality the whole study errs at most so often,
however the looks depend on each other.
"""

from functools import cache
from math import inf, sqrt

from scipy import special, stats

# Seeds -> error spent. Two degrees of freedom show only differences of some 15 residual sd at any
# affordable error, so the look at 3 seeds gets little. The presets train 5 seeds and most studies
# end there, so that look gets most; the later ones have seeds enough and share the rest.
LOOKS: dict[int, float] = {3: 0.005, 5: 0.015, 8: 0.01, 12: 0.01, 20: 0.01}
LAST_LOOK = max(LOOKS)
POWER = 0.8
# seeds=auto goes on while a look would settle the difference seen with at least this power: an
# estimate from 3 or 5 seeds is off by half, and a plan for 0.8 would give up on what it can show.
WORTH_A_TRY = 1 / 3


def look_reached(num_seeds: int) -> int:
    """The largest planned look at or below `num_seeds`; 0 if there is none."""
    return max((look for look in LOOKS if look <= num_seeds), default=0)


def next_look(num_seeds: int) -> int | None:
    """The first planned look above `num_seeds`; None after the last."""
    return next((look for look in LOOKS if look > num_seeds), None)


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
