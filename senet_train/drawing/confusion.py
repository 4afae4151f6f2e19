"""The confusion matrix: what is there in rows, what was said in columns."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

FEW = 10
MOST_NUMBERED = 20  # classes; beyond, a cell has no room for its number
MOST_NAMED = 40  # beyond, an axis has none for names
LONGEST_NAME = 18
DARK = 0.5  # share of a row from which its number is white


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """`counts` (K, K): images of each class, by what was said. Shaded by the share of the row."""
    num_classes = len(names)
    side = 5 if num_classes <= FEW else 8  # inches: small pictures are legible among others
    figure = Figure(figsize=(side * 1.1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the class")
    axes.set_xlabel("said")
    axes.set_ylabel("true class")
    right = int(counts.trace())
    axes.set_title(f"{right:,} of {int(counts.sum()):,} test images right")
    if num_classes <= MOST_NAMED:
        name_both(axes, [name[:LONGEST_NAME] for name in names])
    if num_classes <= MOST_NUMBERED:
        number_cells(axes, counts, shares)
    return figure


def name_both(axes: Axes, names: Sequence[str]) -> None:
    """The classes along both axes; long names stand upright below."""
    upright = max(map(len, names)) > 3
    places, size = range(len(names)), 9 if len(names) <= MOST_NUMBERED else 6
    axes.set_xticks(places, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)


def number_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """How many, in every cell that is not empty."""
    size = 9 if len(counts) <= FEW else 7
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > DARK else "black"
        text = f"{counts[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
