"""Decode one image file to 8-bit RGB, or say what is wrong with it. No torch."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

# A file's content counts, not its name. Others are never tried: Pillow hands EPS to a program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


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


def read_rgb(path: str) -> tuple[Image.Image, str]:
    """The whole picture as 8-bit RGB, and the mode it is stored in.

    Raises Unreadable for what the file holds, OSError where the system does not give it.
    """
    with open(path, "rb") as file:
        try:
            with Image.open(file, formats=FORMATS) as stored:
                return to_rgb(stored), stored.mode
        except MemoryError:
            raise
        except Exception as error:  # decoders of odd files raise struct.error, IndexError, ...
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Unreadable(error) from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB; Pillow alone would clip 16-bit greys to white.

    A palette with transparency goes by RGBA, as Pillow asks for.
    """
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its mode is {picture.mode}: save it with 8 or 16 bits")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


@contextmanager
def decoders_silent() -> Iterator[None]:
    """For the block, silence Pillow's warnings about large and damaged files: we report those."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
