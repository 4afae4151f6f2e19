"""How much runs of one arm vary over seeds, and how many seeds a difference takes then."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from senet_train.compare import RESERVE
from senet_train.compare.statistics.contrast import NO_NOISE
from senet_train.compare.statistics.difference import seeds_needed
from senet_train.errors import InputError
from senet_train.runs.study_plan import ERROR

SIZES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)  # points
NUMBERS_OF_ARMS = (1, 2, 4, 8)  # beside the control
TAIL = 0.05  # on each side of a 90 % interval


@dataclass(frozen=True)
class Noise:
    """The standard deviation of one run over seeds, in points, and its 90 % interval."""

    num_runs: int
    sd: float
    low: float
    high: float

    @property
    def sd_of_difference(self) -> float:
        """That of the difference of two arms at a seed, if their seeds pair nothing."""
        return self.sd * sqrt(2)


@dataclass(frozen=True)
class Need:
    """What a table takes to show a difference of `size` points; 0 seeds: more than can be told."""

    size: float
    num_arms: int
    seeds: int

    @property
    def runs(self) -> int:
        """Of all arms and the control."""
        return self.seeds * (self.num_arms + 1)


def noise_of(scores: Sequence[float]) -> Noise:
    """The noise of runs with these scores, in percent.

    The interval is that of a normal sample (chi-square). Raises InputError below two runs.
    """
    freedom = len(scores) - 1
    if freedom < 1:
        raise InputError(f"noise is a spread of two runs or more: got {len(scores)}, train more")
    sd = float(np.std(scores, ddof=1))
    low, high = (
        sd * sqrt(freedom / float(special.chdtri(freedom, above))) for above in (TAIL, 1 - TAIL)
    )
    return Noise(len(scores), sd if sd > NO_NOISE else 0.0, low, high)


def needs(sd: float) -> Iterator[Need]:
    """What tables of 1, 2, 4 and 8 arms take for each size of a difference, with power 0.8.

    `sd` is that of one run, which is the residual where seeds pair nothing; where they do pair, it
    takes fewer seeds. Such a table declares its seeds before its first run, and tests every arm at
    its last seed, with an equal part of the error that is not kept.
    """
    for size in SIZES:
        for num_arms in NUMBERS_OF_ARMS:
            level = ERROR * (1 - RESERVE) / num_arms
            yield Need(size, num_arms, seeds_needed(size / sd, level))
