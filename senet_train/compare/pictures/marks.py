"""Marks of arms in pictures: by their verdict, or by their distance to the highest mean."""

from math import sqrt
from typing import NamedTuple

from scipy import stats

from senet_train.compare.comparison import Arm, Block
from senet_train.compare.statistics.contrast import NO_NOISE
from senet_train.compare.statistics.difference import Verdict
from senet_train.compare.statistics.looks import LOOKS, unplanned
from senet_train.figures import BLUE, GREEN, GREY, ORANGE, PAPER


class Mark(NamedTuple):
    """A marker: its shape, its colour, and whether it is filled."""

    shape: str
    colour: str
    filled: bool

    @property
    def face(self) -> str:
        """The colour of its inside."""
        return self.colour if self.filled else PAPER


VERDICT_MARKS: dict[Verdict, Mark] = {
    "better": Mark("^", BLUE, True),
    "worse": Mark("v", ORANGE, True),
    "equivalent": Mark("s", GREEN, True),
    "undecided": Mark("o", GREY, False),
    "silent": Mark("X", GREY, True),
}
HIGHEST = Mark("D", BLUE, True)
WITHIN = Mark("o", BLUE, True)
BELOW = Mark("o", ORANGE, False)
LEGEND = {
    "the highest mean": HIGHEST,
    "within noise of it": WITHIN,
    "below it by more than noise": BELOW,
}


def marks_of(block: Block) -> list[Mark]:
    """Each arm's mark by its distance to the highest mean. It is for pictures and is no verdict."""
    highest = highest_arm(block)
    return [
        HIGHEST if arm is highest else WITHIN if near else BELOW
        for arm, near in zip(block.arms, within_noise_of_highest(block), strict=True)
    ]


def highest_arm(block: Block) -> Arm:
    """The arm with the highest mean, the first of several."""
    return max(block.arms, key=lambda arm: arm.test.mean)


def within_noise_of_highest(block: Block) -> list[bool]:
    """For each arm, whether noise may explain its distance to the highest mean."""
    highest = highest_arm(block)
    num_others = len(block.arms) - 1
    return [arm is highest or not differ(arm, highest, num_others) for arm in block.arms]


def differ(arm: Arm, highest: Arm, num_others: int) -> bool:
    """Whether two arms differ: by the verdict if one of them is the control, else by Welch's test.

    Welch's t-test does not use the pairing by seed, which costs power where seeds agree. Its error
    is that of the look that the fewer seeds reach, over the number of arms (Bonferroni).
    """
    if arm.difference is None or highest.difference is None:
        judged = arm.difference or highest.difference
        return judged is not None and judged.verdict in ("better", "worse")
    look = unplanned([]).reached(min(len(arm.seeds), len(highest.seeds)))
    return bool(look) and welch_p(arm, highest) <= LOOKS[look] / num_others


def welch_p(arm: Arm, other: Arm) -> float:
    """The two-sided p-value of Welch's t-test; 1 where neither arm has any noise."""
    variances = [(a.test.sd or 0) ** 2 / len(a.seeds) for a in (arm, other)]
    error = sqrt(sum(variances))
    if error <= NO_NOISE:
        return 1.0
    each = sum(v**2 / (len(a.seeds) - 1) for v, a in zip(variances, (arm, other), strict=True) if v)
    t = abs(arm.test.mean - other.test.mean) / error
    return 2 * float(stats.t.sf(t, error**4 / each))
