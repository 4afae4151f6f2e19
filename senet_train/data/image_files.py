"""Decode one image file to 8-bit RGB as an image viewer shows it, or say what is wrong. No torch.

Depth, transparency, orientation and palette of a file are decided here, once, for training, check,
prediction, evaluation and export. Colour profiles and gamma are not applied: nearly no pipeline
does, and an exported file could not repeat it.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

# A file's content counts, not its name. Others are never tried: Pillow hands EPS to a program.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# The endings that programs give to files of these formats.
EXTENSIONS = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
FULL_DEPTH = 16  # bits of a deep picture's values, where not fewer are known to be used
WHITE_IS_ZERO = 0  # of TIFF's tag PhotometricInterpretation


class Unreadable(ValueError):
    """The file's content is no image that can be trained on; `kind` says how it is bad."""

    def __init__(self, error: Exception) -> None:
        unknown = isinstance(error, UnidentifiedImageError)  # its text is the handle's
        super().__init__("in no known format" if unknown else str(error) or type(error).__name__)
        self.kind = kind_of(error)


def kind_of(error: Exception) -> Literal["truncated", "too many pixels", "unreadable"]:
    """Pillow has no exception class for a truncated file: only its message tells."""
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    early = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return "truncated" if early else "unreadable"


@contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """A file's picture for the block, as it is stored; its pixels are decoded when they are used.

    Raises Unreadable for what the file holds, also if the block finds it, and OSError where the
    system does not give it.
    """
    with open(path, "rb") as file:
        try:
            with Image.open(file, formats=FORMATS) as stored:
                yield stored
        except (MemoryError, Unreadable):
            raise
        except Exception as error:  # decoders of odd files raise struct.error, IndexError, ...
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Unreadable(error) from error


def read_rgb(path: str, bit_depth: int = FULL_DEPTH) -> Image.Image:
    """The whole picture in a file as 8-bit RGB: the first, if it holds several.

    `bit_depth` is as in `to_rgb`. Raises as `opened` does.
    """
    with opened(path) as stored:
        return to_rgb(stored, bit_depth)


def to_rgb(picture: Image.Image, bit_depth: int = FULL_DEPTH) -> Image.Image:
    """A picture of any mode as it is shown: turned upright, on white where it is transparent.

    Of values deeper than 8 bits, 2**`bit_depth` - 1 and all above are white. Raises ValueError for
    values of which nobody knows what is white.
    """
    if is_deep(picture):
        picture = from_deep(picture, bit_depth)
    elif picture.mode == "F":
        picture = from_float(picture)
    if orientation(picture) != 1:
        picture = ImageOps.exif_transpose(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    seen = picture.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert("RGB")


def is_deep(picture: Image.Image) -> bool:
    """Whether it is grey with more than 8 bits a value. Of colours, Pillow keeps the upper 8."""
    return picture.mode.startswith("I")


def deep_values(picture: Image.Image) -> np.ndarray:
    """The values of a deep picture, (H, W), from 0 to 65535. Raises ValueError for others."""
    values = np.asarray(picture).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 2**FULL_DEPTH:
        raise ValueError(f"its values go from {low} to {high}: save it with 8 or 16 bits")
    return values


def from_deep(picture: Image.Image, bit_depth: int) -> Image.Image:
    """A deep picture's upper 8 of `bit_depth` bits. Pillow alone would clip at 255."""
    values = deep_values(picture).clip(max=2**bit_depth - 1) >> (bit_depth - 8)
    return carry_exif(picture, 255 - values if white_is_zero(picture) else values)


def white_is_zero(picture: Image.Image) -> bool:
    """Whether a TIFF counts from white to black, which Pillow minds for 8 bits alone."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return False
    return picture.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO


def from_float(picture: Image.Image) -> Image.Image:
    """A picture of floats from 0 to 1, which is what programs that write floats take for white."""
    values = np.asarray(picture)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # also if they are NaN
        raise ValueError(
            f"its values are floats from {low:g} to {high:g}: save floats from 0 to 1, or 16 bits"
        )
    return carry_exif(picture, np.rint(255 * values))


def carry_exif(picture: Image.Image, values: np.ndarray) -> Image.Image:
    """The values, (H, W) in 0..255, as a grey picture that is turned as the stored one is."""
    grey = Image.fromarray(values.astype(np.uint8))
    grey.getexif()[ExifTags.Base.Orientation] = orientation(picture)
    return grey


def orientation(picture: Image.Image) -> int:
    """How it is stored, from 1 (upright) to 8; 1 if that cannot be read, as viewers do."""
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # of damaged metadata, while the pixels may be sound
        return 1
    return found if found in range(1, 9) else 1


@contextmanager
def decoders_silent() -> Iterator[None]:
    """For the block, silence Pillow's warnings about large and damaged files: we report those."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
