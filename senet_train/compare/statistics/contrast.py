"""The contrast of an arm with its control: the linear model accuracy ~ arm + seed, fitted twice.

`paired_contrast` fits the arm and the control alone, which is the paired t-test. `pooled_contrasts`
fits the whole table with one residual for all arms; it has more degrees of freedom and is valid
only if all arms are equally noisy and equally correlated. Accuracies are percent, differences
points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # its functions: those of scipy.stats take a hundred times as long

from senet_train.errors import InputError

Accuracies = Mapping[str, Mapping[int, float]]
# Rounding in the conversion to percent is 1e-14 points; one image of a million is 1e-4.
NO_NOISE = 1e-9


@dataclass(frozen=True)
class Contrast:
    """An arm less its control, in points; `residual_sd` is that of one run in the fitted model."""

    difference: float
    standard_error: float
    residual_sd: float
    degrees_of_freedom: float

    def p_value(self) -> float:
        """Two-sided, against no difference."""
        t = abs(self.difference) / self.standard_error
        return 2 * float(special.stdtr(self.degrees_of_freedom, -t))

    def p_equivalence(self, margin: float) -> float:
        """Two one-sided tests (Schuirmann 1987) against a difference of `margin` or more."""
        t = (margin - abs(self.difference)) / self.standard_error
        return float(special.stdtr(self.degrees_of_freedom, -t))

    def interval(self) -> tuple[float, float]:
        """The 95 % t-interval."""
        half = self.standard_error * float(special.stdtrit(self.degrees_of_freedom, 0.975))
        return self.difference - half, self.difference + half


class ArmMean(NamedTuple):
    """An arm's mean accuracy; of one run all but the mean is None."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None


def arm_interval(values: Sequence[float]) -> ArmMean:
    """Mean, sample standard deviation and 95 % t-interval of an arm's runs, in percent.

    Equal runs give an interval of no width; none goes beyond 0 or 100, where no score is. Raises
    InputError for no values or one not finite.
    """
    if not values or not all(map(isfinite, values)):
        raise InputError(
            f"an arm's mean needs one or more finite accuracies: got {list(values)}; "
            "leave out the runs that failed"
        )
    mean = float(np.mean(values))
    if len(values) == 1:
        return ArmMean(mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half = sd / sqrt(len(values)) * float(special.stdtrit(len(values) - 1, 0.975))
    return ArmMean(mean, sd, max(mean - half, 0.0), min(mean + half, 100.0))


def paired_contrast(differences: NDArray[np.float64]) -> Contrast | None:
    """The contrast of paired `differences` (num_seeds,): arm less control at each seed.

    None below two seeds, or if all are equal: then there is nothing to estimate noise from.
    """
    if len(differences) < 2 or np.ptp(differences) <= NO_NOISE:
        return None
    sd = float(np.std(differences, ddof=1))
    num_seeds = len(differences)
    return Contrast(
        float(differences.mean()), sd / sqrt(num_seeds), sd / sqrt(2), float(num_seeds - 1)
    )


def pooled_contrasts(accuracies: Accuracies, control: str) -> dict[str, Contrast]:
    """Every arm's contrast from one least-squares fit of the table at the control's seeds.

    Missing seeds are allowed. Arms that share no seed with the control are left out; empty if no
    degree of freedom, or no noise, is left.
    """
    shared = {
        arm: seeds
        for arm, runs in accuracies.items()
        if arm != control and (seeds := sorted(runs.keys() & accuracies[control].keys()))
    }
    if not shared:
        return {}
    runs = [(arm, seed) for arm, seeds in shared.items() for seed in seeds]
    runs += [(control, seed) for seed in sorted(accuracies[control])]
    freedom = len(runs) - len(shared) - len(accuracies[control])
    if freedom <= 0:
        return {}
    values = np.array([accuracies[arm][seed] for arm, seed in runs])
    indicators = np.array([arm for arm, _ in runs])[:, None] == np.array(list(shared))
    own = within_seeds(np.column_stack([values, indicators]), [seed for _, seed in runs])
    differences, _, _, _ = np.linalg.lstsq(own[:, 1:], own[:, 0])
    residuals = own[:, 0] - own[:, 1:] @ differences
    residual_sd = sqrt(residuals @ residuals / freedom)
    if residual_sd <= NO_NOISE:
        return {}
    errors = residual_sd * np.sqrt(np.diag(np.linalg.inv(own[:, 1:].T @ own[:, 1:])))
    return {
        arm: Contrast(float(difference), float(error), residual_sd, float(freedom))
        for arm, difference, error in zip(shared, differences, errors, strict=True)
    }


def within_seeds(columns: NDArray[np.float64], seeds: Sequence[int]) -> NDArray[np.float64]:
    """`columns` (runs, columns) less their means at each run's seed.

    A least-squares fit of these gives the arms what a fit with an indicator for every seed would
    (Frisch and Waugh 1933, Lovell 1963), without decomposing a matrix as wide as the seeds.
    """
    _, position, counts = np.unique(seeds, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), columns.shape[1]))
    np.add.at(sums, position, columns)
    return columns - (sums / counts[:, None])[position]
