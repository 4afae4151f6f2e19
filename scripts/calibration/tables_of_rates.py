"""Markdown tables of simulated rates, each with its uncertainty."""

from collections.abc import Iterable, Sequence

from scipy import stats


def markdown(head: str, rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells of the head are parted by bars."""
    columns = head.split("|")
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])


def rate(count: int, total: int) -> str:
    """Percent with its exact 95 % interval (Clopper and Pearson 1934)."""
    low, high = stats.binomtest(count, total).proportion_ci(0.95)
    return f"{100 * count / total:.1f} ({100 * low:.1f} to {100 * high:.1f})"
