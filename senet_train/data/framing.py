"""A picture of any shape -> the square that a network sees: `data.fit`. No torch."""

from collections.abc import Callable
from typing import Literal

from PIL import Image, ImageOps

Fit = Literal["crop", "resize", "pad"]
# The paper's single-crop evaluation (section 5.1): 224 pixels out of a shorter side of 256.
MARGIN = 256 / 224
SMOOTH = Image.Resampling.BILINEAR


def framed(picture: Image.Image, size: int, fit: Fit, margin: float) -> Image.Image:
    """The picture as `size` x `size` pixels; one that has this size is taken whole.

    `margin` is of fit=crop: 1 / `margin` of the shorter side is seen.
    """
    if picture.size == (size, size):
        return picture
    if fit == "crop":
        return centre(picture, size, margin)
    return SQUARES[fit](picture, size)


def squared(picture: Image.Image, fit: Fit) -> Image.Image:
    """What a random crop is cut from: all of the picture, which fit=resize and pad make square."""
    if fit == "crop":
        return picture
    side = min(picture.size) if fit == "resize" else max(picture.size)
    return SQUARES[fit](picture, side)


def centre(picture: Image.Image, size: int, margin: float) -> Image.Image:
    """The middle square, 1 / `margin` of the shorter side, scaled to `size` x `size`."""
    width, height = picture.size
    side = min(width, height) / margin
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), SMOOTH, box)


def resize(picture: Image.Image, size: int) -> Image.Image:
    """All of the picture, its sides scaled apart."""
    return picture.resize((size, size), SMOOTH)


def pad(picture: Image.Image, size: int) -> Image.Image:
    """All of the picture, its shape kept, between two black bars."""
    return ImageOps.pad(picture, (size, size), SMOOTH)


SQUARES: dict[Fit, Callable[[Image.Image, int], Image.Image]] = {"resize": resize, "pad": pad}
