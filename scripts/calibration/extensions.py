"""What an extension costs whose length is chosen when the first seeds are known.

The chooser knows the t of the first seeds and takes the length at which a false verdict is
likeliest. Differences are normal; of one arm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

LENGTHS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20)
NUM_BINS = 40  # of the t that is known: the best length is chosen for each


@dataclass(frozen=True)
class Extended:
    """The first plan's seeds and error, and the error of its extension."""

    first: int
    error: float
    extension: float


CASES = (
    Extended(1, 0.0, 0.025),
    Extended(2, 0.0, 0.025),
    Extended(3, 0.04, 0.005),
    Extended(5, 0.04, 0.005),
    Extended(8, 0.04, 0.005),
)


def extension_row(case: Extended, num_tables: int) -> list[str]:
    """False verdicts in percent: of the first plan, with 12 seeds in all, with the worst length."""
    values = np.random.default_rng(case.first).normal(size=(num_tables, max(LENGTHS)))
    sums, squares = np.cumsum(values, 1), np.cumsum(values**2, 1)
    known = sums[:, 0] if case.first == 1 else t_of(sums, squares, case.first)
    called = p_of(known, case.first) <= case.error if case.error else np.zeros(num_tables, bool)
    edges = np.quantile(np.abs(known), np.linspace(0, 1, NUM_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, np.abs(known))
    later = {
        length: ~called & (p_of(t_of(sums, squares, length), length) <= case.extension)
        for length in LENGTHS
        if length > case.first
    }
    worst = chosen_worst(list(later.values()), bins)
    return [
        str(case.first),
        f"{case.error:g}",
        f"{case.extension:g}",
        f"{100 * called.mean():.2f}",
        f"{100 * (called.mean() + later[12].mean()):.2f}",
        f"{100 * (called.mean() + worst):.2f}",
    ]


def chosen_worst(later: Sequence[NDArray[np.bool_]], bins: NDArray[np.int64]) -> float:
    """The share of tables called if in each bin the length with the most calls is taken."""
    counts = np.array([np.bincount(bins[called], minlength=NUM_BINS) for called in later])
    return float(counts.max(0).sum() / len(bins))


def t_of(
    sums: NDArray[np.float64], squares: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    """The t of the first values of each row, from running sums."""
    mean = sums[:, length - 1] / length
    variance = (squares[:, length - 1] - length * mean**2) / (length - 1)
    t: NDArray[np.float64] = mean / np.sqrt(variance / length)
    return t


def p_of(t: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Two-sided."""
    p: NDArray[np.float64] = 2 * special.stdtr(length - 1, -np.abs(t))
    return p
