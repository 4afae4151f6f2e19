"""Which arms noise does not tell from the one with the highest mean: for pictures, no verdict."""

from math import sqrt

from scipy import stats

from senet_train.compare.comparison import Arm, Block
from senet_train.compare.statistics.contrast import NO_NOISE
from senet_train.compare.statistics.looks import LOOKS, look_reached
from senet_train.compare.statistics.verdict import Verdict

TELLING: tuple[Verdict, ...] = ("better", "worse")


def within_noise_of_highest(block: Block) -> list[bool]:
    """For each arm of the block; the highest itself is within."""
    highest = max(block.arms, key=lambda arm: arm.test.mean)
    others = len(block.arms) - 1
    return [arm is highest or not told_apart(arm, highest, others) for arm in block.arms]


def told_apart(arm: Arm, highest: Arm, num_others: int) -> bool:
    """By the verdict if one of the two is the control, else by Welch's t-test, Bonferroni.

    Welch's test leaves the pairing by seed aside, which costs power where seeds agree. It spends
    the error of the look that the fewer seeds reach.
    """
    if arm.difference is None or highest.difference is None:
        judged = arm.difference or highest.difference
        return judged is not None and judged.verdict in TELLING
    look = look_reached(min(len(arm.seeds), len(highest.seeds)))
    return bool(look) and welch_p(arm, highest) <= LOOKS[look] / num_others


def welch_p(arm: Arm, other: Arm) -> float:
    """Two-sided; 1 where no noise was seen, which tells nothing."""
    variances = [(a.test.sd or 0) ** 2 / len(a.seeds) for a in (arm, other)]
    error = sqrt(sum(variances))
    if error <= NO_NOISE:
        return 1.0
    each = sum(v**2 / (len(a.seeds) - 1) for v, a in zip(variances, (arm, other), strict=True) if v)
    t = abs(arm.test.mean - other.test.mean) / error
    return 2 * float(stats.t.sf(t, error**4 / each))
