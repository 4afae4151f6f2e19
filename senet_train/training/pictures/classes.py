"""The confusion matrix of a classifier, and a gallery of images with captions."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from senet_train.figures import drawable

COLUMNS = 4
TILE = 1.3  # inches, the side of an image
GAP = 0.1  # between images
WORDS = 0.45  # above each, three lines, and above them all
SMALL = 64  # pixels: below it an image is shown as its pixels, not smoothed


def draw_gallery(pixels: NDArray[np.uint8], captions: Sequence[str], title: str) -> Figure:
    """At least one image (N, H, W, 3), in rows of four, each with a caption above."""
    num_rows = ceil(len(pixels) / COLUMNS)
    # Placed by hand: with matplotlib's layout 16 images take 0.6 s instead of 0.35.
    row = TILE + WORDS
    width, height = COLUMNS * (TILE + GAP) + GAP, num_rows * row + GAP + WORDS
    figure = Figure(figsize=(width, height))
    figure.text(GAP / width, 1 - 0.2 / height, title, fontsize=10, va="center")
    smooth = "nearest" if pixels.shape[1] < SMALL else "antialiased"
    for number, (image, caption) in enumerate(zip(pixels, captions, strict=True)):
        left = GAP + number % COLUMNS * (TILE + GAP)
        bottom = height - WORDS - (number // COLUMNS + 1) * row
        place = (left / width, bottom / height, TILE / width, TILE / height)
        tile = figure.add_axes(place)
        tile.set_axis_off()
        tile.imshow(image, interpolation=smooth)
        tile.set_title(drawable(caption), fontsize=7)
    return figure


FEW = 10
MOST_NUMBERED = 20  # classes; beyond, a cell has no room for its number
MOST_NAMED = 40  # beyond, an axis has none for names
LONGEST_NAME = 18
DARK = 0.5  # share of a row from which its number is white


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str], num_right: int) -> Figure:
    """`counts` (K, K) of images, true classes in rows, shaded by the share of the row."""
    num_classes = len(names)
    side = 5 if num_classes <= FEW else 8  # inches: small pictures are legible among others
    figure = Figure(figsize=(side * 1.1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the class")
    axes.set_xlabel("said")
    axes.set_ylabel("true class")
    axes.set_title(f"{num_right:,} of {int(counts.sum()):,} test images right")
    if num_classes <= MOST_NAMED:
        label_axes(axes, [drawable(name)[:LONGEST_NAME] for name in names])
    if num_classes <= MOST_NUMBERED:
        number_cells(axes, counts, shares)
    return figure


def label_axes(axes: Axes, names: Sequence[str]) -> None:
    """Write the class names along both axes; long names are vertical below."""
    vertical = max(map(len, names)) > 3
    places, size = range(len(names)), 9 if len(names) <= MOST_NUMBERED else 6
    axes.set_xticks(places, names, rotation=90 if vertical else 0, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)


def number_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Write the count in every cell that is not zero."""
    size = 9 if len(counts) <= FEW else 7
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > DARK else "black"
        text = f"{counts[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
