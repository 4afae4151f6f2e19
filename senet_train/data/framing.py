"""A picture of any shape -> the square that a network sees: `data.fit`. No torch.

In validation and test, `data.test_size` and `data.test_resize` say what is seen; training cuts
for itself.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from PIL import Image, ImageOps

from senet_train.config.schema import Data
from senet_train.errors import InputError

Fit = Literal["crop", "resize", "pad"]
Resize = Literal["auto"] | int
# The paper's single-crop evaluation (section 5.1): 224 pixels out of a shorter side of 256.
MARGIN = 256 / 224
SMOOTH = Image.Resampling.BILINEAR


def framed(
    picture: Image.Image, size: int, fit: Fit, margin: float, resize: Resize = "auto"
) -> Image.Image:
    """The picture as `size` x `size` pixels; one that has this size is taken whole.

    `margin` is of fit=crop: 1 / `margin` of the shorter side is seen. A number in `resize` takes
    its place, and then any picture is scaled and cut.
    """
    if resize != "auto":
        return resized_and_cut(picture, resize, size)
    if picture.size == (size, size):
        return picture
    if fit == "crop":
        return centre(picture, size, margin)
    return SQUARES[fit](picture, size)


def margin_of(crop: str) -> float:
    """The margin of a test, where training crops so (`data.crop`)."""
    return MARGIN if crop == "resized" else 1.0


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


def resized_and_cut(picture: Image.Image, shorter: int, size: int) -> Image.Image:
    """The shorter side scaled to `shorter` pixels, and the middle `size` x `size` cut out.

    Sides are rounded as by torchvision's Resize and CenterCrop, which are pixel for pixel the same.
    """
    sides = [shorter * side // min(picture.size) for side in picture.size]
    left, top = (round((side - size) / 2) for side in sides)
    scaled = picture.resize((sides[0], sides[1]), SMOOTH)
    return scaled.crop((left, top, left + size, top + size))


def resize(picture: Image.Image, size: int) -> Image.Image:
    """All of the picture, its sides scaled apart."""
    return picture.resize((size, size), SMOOTH)


def pad(picture: Image.Image, size: int) -> Image.Image:
    """All of the picture, its shape kept, between two black bars."""
    return ImageOps.pad(picture, (size, size), SMOOTH)


SQUARES: dict[Fit, Callable[[Image.Image, int], Image.Image]] = {"resize": resize, "pad": pad}


def resolve_test_size(data: Data) -> Data:
    """`data.test_size` is `auto` where it is the size of training: the same run, said twice."""
    return replace(data, test_size="auto") if data.test_size == data.image_size else data


def refuse_test_frame(data: Data, *, from_files: bool) -> None:
    """Raises InputError for a test size that nothing reads, or that a picture has no room for."""
    asked = {key: getattr(data, key) for key in ("test_resize", "test_size")}
    for key, value in asked.items():
        if value != "auto" and not from_files:
            raise InputError(
                f"data.{key}={value} is for image files and {data.source.name} has none: "
                "leave it out"
            )
    if data.test_resize == "auto":
        return
    if data.fit != "crop":
        raise InputError(
            f"data.test_resize={data.test_resize} cuts the middle out of a picture and "
            f"data.fit={data.fit} sees all of it: leave one of them out"
        )
    if data.test_resize < data.test_side:
        raise InputError(
            f"data.test_resize={data.test_resize} has no middle of {data.test_side} pixels: "
            f"choose data.test_resize >= {data.test_side}, or a smaller data.test_size"
        )
