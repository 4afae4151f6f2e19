"""Does it pay to pair by seed? Power of the paired and the unpaired t against correlation.

Runs are normal with unit variance; `rho` is the correlation of two arms' accuracies over seeds.
Pairing takes what is common out of the noise and pays half the degrees of freedom for it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import nctdtrinc

ERROR = 0.05  # of one look
CORRELATIONS = np.linspace(0, 0.95, 20)
SHOWN = (0, 4, 8, 12, 16, 18)  # of the correlations


def pairing_rows(num_tables: int, stages: tuple[int, ...]) -> Iterator[list[str]]:
    """Seeds, difference in sd of a run, `paired / unpaired` power where shown, break-even."""
    for num_seeds in stages:
        for power in (0.5, 0.8):
            difference = difference_shown(num_seeds, power)
            paired, unpaired = power_curves(num_seeds, difference, num_tables)
            shown = [f"{100 * paired[i]:.0f} / {100 * unpaired[i]:.0f}" for i in SHOWN]
            yield [str(num_seeds), f"{difference:.2f}", *shown, break_even(paired - unpaired)]


def difference_shown(num_seeds: int, power: float) -> float:
    """What Student's unpaired t shows of uncorrelated arms with this power, in sd of a run."""
    freedom = 2 * num_seeds - 2
    threshold = stats.t.isf(ERROR / 2, freedom)
    return float(nctdtrinc(freedom, 1 - power, threshold) * np.sqrt(2 / num_seeds))


def power_curves(
    num_seeds: int, difference: float, num_tables: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of tables of one arm called better at the look's error: paired, unpaired (Welch).

    The same draws at every correlation, so that the curves cross where they do and not by chance.
    """
    common, arm, control = np.random.default_rng(num_seeds).normal(size=(3, num_tables, num_seeds))
    powers = np.empty((2, len(CORRELATIONS)))
    for index, rho in enumerate(CORRELATIONS):
        better = np.sqrt(rho) * common + np.sqrt(1 - rho) * arm + difference
        base = np.sqrt(rho) * common + np.sqrt(1 - rho) * control
        paired = stats.ttest_rel(better, base, axis=1)
        unpaired = stats.ttest_ind(better, base, axis=1, equal_var=False)
        for test, found in enumerate((paired, unpaired)):
            called = (found.pvalue <= ERROR) & (found.statistic > 0)
            powers[test, index] = called.mean()
    return powers[0], powers[1]


def break_even(gain: NDArray[np.float64]) -> str:
    """The correlation from which on pairing gains power, by linear interpolation."""
    losing = np.flatnonzero(gain < 0)
    if not len(losing):
        return "0"
    last = losing[-1]
    if last == len(gain) - 1:
        return f"above {CORRELATIONS[-1]:g}"
    between = gain[last] / (gain[last] - gain[last + 1])
    return f"{CORRELATIONS[last] + between * (CORRELATIONS[last + 1] - CORRELATIONS[last]):.2f}"
