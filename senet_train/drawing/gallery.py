"""A few images side by side, each with a few lines of words."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMNS = 4
TILE = 1.3  # inches, the side of an image
GAP = 0.1  # between images
WORDS = 0.45  # above each, three lines, and above them all
SMALL = 64  # pixels: below it an image is shown as its pixels, not smoothed


def draw_gallery(pixels: NDArray[np.uint8], captions: Sequence[str], title: str) -> Figure:
    """Images (N, H, W, 3), at least one, in rows of four, a caption above each."""
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
        tile.set_title(caption, fontsize=7)
    return figure
