"""A picture of any shape -> the image that a network sees, of one size: `data.fit`. No torch.

In validation and test, `data.test_size` and `data.test_resize` say what is seen; training cuts
for itself.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from PIL import Image, ImageOps

from senet_train.config.image_size import ImageSize, canonical_size, height_width, typed_size
from senet_train.config.schema import Data
from senet_train.errors import InputError

Fit = Literal["crop", "resize", "pad"]
Resize = Literal["auto"] | int
Pixels = tuple[int, int]  # width, height, as Pillow has them
# The paper's single-crop evaluation (section 5.1): 224 pixels out of a shorter side of 256.
MARGIN = 256 / 224
SMOOTH = Image.Resampling.BILINEAR


def framed(
    picture: Image.Image, size: ImageSize, fit: Fit, margin: float, resize: Resize = "auto"
) -> Image.Image:
    """The picture in `size`, a side or [height, width]; one that has this size is taken whole.

    `margin` is of fit=crop: 1 / `margin` of the largest part that has the shape is seen, of a
    square of the shorter side. A number in `resize` takes its place, and then any picture is
    scaled and cut.
    """
    height, width = height_width(size)
    if resize != "auto":
        return resized_and_cut(picture, resize, width)
    if picture.size == (width, height):
        return picture
    if fit == "crop":
        return centre(picture, (width, height), margin)
    return WHOLE[fit](picture, (width, height))


def margin_of(crop: str) -> float:
    """The margin of a test, where training crops so (`data.crop`)."""
    return MARGIN if crop == "resized" else 1.0


def in_shape(picture: Image.Image, size: ImageSize, fit: Fit) -> Image.Image:
    """What a random crop is cut from: all of the picture, of fit=resize and pad in its shape.

    That is as large as fits into the picture (resize), or as the picture fits into (pad).
    """
    if fit == "crop":
        return picture
    height, width = height_width(size)
    scales = Fraction(picture.width, width), Fraction(picture.height, height)
    scale = min(scales) if fit == "resize" else max(scales)
    return WHOLE[fit](picture, (max(1, round(width * scale)), max(1, round(height * scale))))


def centre(picture: Image.Image, size: Pixels, margin: float) -> Image.Image:
    """The middle, 1 / `margin` of the largest part of the shape of `size`, scaled to it."""
    scale = min(Fraction(a, b) for a, b in zip(picture.size, size, strict=True))
    width, height = (float(side * scale) / margin for side in size)
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    box = (left, top, left + width, top + height)
    return picture.resize(size, SMOOTH, box)


def resized_and_cut(picture: Image.Image, shorter: int, size: int) -> Image.Image:
    """The shorter side scaled to `shorter` pixels, and the middle `size` x `size` cut out.

    Sides are rounded as by torchvision's Resize and CenterCrop, which are pixel for pixel the same.
    """
    sides = [shorter * side // min(picture.size) for side in picture.size]
    left, top = (round((side - size) / 2) for side in sides)
    scaled = picture.resize((sides[0], sides[1]), SMOOTH)
    return scaled.crop((left, top, left + size, top + size))


def resize(picture: Image.Image, size: Pixels) -> Image.Image:
    """All of the picture, its sides scaled apart."""
    return picture.resize(size, SMOOTH)


def pad(picture: Image.Image, size: Pixels) -> Image.Image:
    """All of the picture, its shape kept, between two black bars."""
    return ImageOps.pad(picture, size, SMOOTH)


WHOLE: dict[Fit, Callable[[Image.Image, Pixels], Image.Image]] = {"resize": resize, "pad": pad}


def resolve_sizes(data: Data) -> Data:
    """One way to write each size: `data.test_size` is `auto` where it is that of training."""
    size = canonical_size(data.image_size)
    tested = data.test_size if data.test_size == "auto" else canonical_size(data.test_size)
    return replace(data, image_size=size, test_size="auto" if tested == size else tested)


def refuse_test_frame(data: Data, *, from_files: bool) -> None:
    """Raises InputError for a test size that nothing reads, or that a picture has no room for."""
    asked = {key: getattr(data, key) for key in ("test_resize", "test_size")}
    for key, value in asked.items():
        if value != "auto" and not from_files:
            raise InputError(
                f"data.{key}={typed_size(value)} is for image files and {data.source.name} has "
                "none: leave it out"
            )
    if data.test_resize == "auto":
        return
    if data.fit != "crop":
        raise InputError(
            f"data.test_resize={data.test_resize} cuts the middle out of a picture and "
            f"data.fit={data.fit} sees all of it: leave one of them out"
        )
    tested = data.size_of_test
    if not isinstance(tested, int):
        raise InputError(
            f"data.test_resize={data.test_resize} cuts out a square, and the test sees images of "
            f"{typed_size(tested)}: leave it out, or give one number as data.test_size"
        )
    if data.test_resize < tested:
        raise InputError(
            f"data.test_resize={data.test_resize} has no middle of {tested} pixels: "
            f"choose data.test_resize >= {tested}, or a smaller data.test_size"
        )
