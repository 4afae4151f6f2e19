"""Do runs vary more than independent images explain? Cochran's Q, as a ratio of variances.

A score over N test images is a mean of N values. Were the images independent of each other at every
seed, its variance over seeds would be the sum of the images' own variances over seeds, by N^2. What
is above that the images share: a seed has made the whole network better or worse.

Each image has a rate of its own at which runs get it right. Its variance is estimated from its
values at the seeds, without bias: for a rate r over n seeds that is r (1 - r) n / (n - 1). One
rate p for all images would take the differences between them for chance: p (1 - p) / N is too much.

The sum of so many variances is as good as known, so that (n - 1) times the ratio has a chi-square
distribution with n - 1 degrees of freedom. Of runs it is Cochran's Q (1950).
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

EXCESSIVE = 0.01  # of the test against independent images, which is made for every arm of a table
TAIL = 0.05  # on each side of a 90 % interval


@dataclass(frozen=True)
class Dispersion:
    """The variance of scores over seeds, by that which independent images explain.

    `low` to `high` is the ratio's 90 % interval. `p` is of Cochran's Q, against a ratio of 1.
    `images_sd` is the standard deviation that images explain, in points.
    """

    ratio: float
    low: float
    high: float
    p: float
    images_sd: float

    @property
    def is_excessive(self) -> bool:
        """Whether the runs surely vary more than independent images explain."""
        return self.p <= EXCESSIVE


def dispersion_of(values: NDArray[np.integer]) -> Dispersion | None:
    """The dispersion of `values` (num_seeds, num_images), whose mean over images is the score.

    Of a run an image has 1 where it was right, else 0. Of a difference it has that of the arm less
    that of the control: only images where exactly one of them is right have any variance. None
    below two seeds, or if no image varies.
    """
    num_seeds, num_images = values.shape
    if num_seeds < 2:
        return None
    freedom = num_seeds - 1
    sums, squares = values.sum(0, dtype=np.int64), np.square(values, dtype=np.int64).sum(0)
    explained = float((squares - sums**2 / num_seeds).sum()) / freedom
    if explained <= 0:
        return None
    ratio = float(values.sum(1, dtype=np.int64).var(ddof=1)) / explained
    statistic = freedom * ratio
    return Dispersion(
        ratio,
        statistic / float(special.chdtri(freedom, TAIL)),
        statistic / float(special.chdtri(freedom, 1 - TAIL)),
        float(special.chdtrc(freedom, statistic)),
        100 * sqrt(explained) / num_images,
    )


def times(found: Dispersion) -> str:
    """`7 times`, `0.3 times`: no more digits than an estimate from a few seeds has."""
    digits = ".0f" if found.ratio >= 1.95 else ".1f" if found.ratio >= 0.95 else ".1g"
    return f"{found.ratio:{digits}} times"
