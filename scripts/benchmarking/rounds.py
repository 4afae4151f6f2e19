"""Measure in rounds, so that a slow minute meets everything, and say median and range."""

import statistics
from collections.abc import Callable, Sequence


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """A B A B: each measure's values over the rounds, after a round that warms up."""
    values = [[measure() for measure in measures] for _ in range(rounds + 1)]
    return [list(column) for column in zip(*values[1:], strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median (range)."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Median over rounds of value / other (range): both are of the same round."""
    return spread([a / b for a, b in zip(values, others, strict=True)], 2)
