"""A few images side by side, each with a line or two of words."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMNS = 4
TILE = (2.0, 2.3)  # inches
SMALL = 64  # pixels: below it an image is shown as its pixels, not smoothed


def draw_gallery(pixels: NDArray[np.uint8], captions: Sequence[str], title: str) -> Figure:
    """Images (N, H, W, 3), at least one, in rows of four, a caption above each."""
    num_rows = ceil(len(pixels) / COLUMNS)
    size = (COLUMNS * TILE[0], num_rows * TILE[1] + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=10, x=0.01, horizontalalignment="left")
    tiles = list(figure.subplots(num_rows, COLUMNS, squeeze=False).flat)
    smooth = "nearest" if pixels.shape[1] < SMALL else "antialiased"
    for tile in tiles:
        tile.set_axis_off()
    for tile, image, caption in zip(tiles, pixels, captions, strict=False):
        tile.imshow(image, interpolation=smooth)
        tile.set_title(caption, fontsize=8)
    return figure
