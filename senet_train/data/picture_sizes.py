"""How large the pictures in a folder are, from the headers of a few of them."""

from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from statistics import median_low

from senet_train.config.image_size import ImageSize, height_width, shorter_side, typed_size
from senet_train.data.image_files import Unreadable, opened

SAMPLE = 16  # files: a header takes a tenth of a millisecond
WORTH_SAYING = 1.5  # times as large as they are


def enlarged_note(paths: Sequence[str], size: ImageSize) -> list[str]:
    """A sentence if most pictures are much smaller than the images that are made of them."""
    sides, asked = short_sides(paths), shorter_side(size)
    typical = median_low(sides) if sides else asked
    if asked < WORTH_SAYING * typical:
        return []
    share = f"1/{(asked / typical) ** 2:.0f}"
    less = typed_size([side * typical // asked for side in height_width(size)])
    return [
        f"most pictures have a short side of {typical} px or less, and data.image_size="
        f"{typed_size(size)} enlarges them: data.image_size={less} takes {share} of the "
        "multiply-adds"
    ]


def short_sides(paths: Sequence[str]) -> list[int]:
    """The shorter side, in pixels, of some pictures from all over the list; readable ones alone."""
    found = []
    for path in paths[:: ceil(len(paths) / SAMPLE) or 1]:
        with suppress(OSError, Unreadable), opened(path) as picture:  # who decodes it says so
            found.append(min(picture.size))
    return found
