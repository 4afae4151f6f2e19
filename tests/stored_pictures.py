"""A picture in every way that files store one, and what a viewer shows of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

GREY = np.linspace(0, 1, 96).reshape(8, 12)  # (H, W), in 0..1
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
WHITE = np.array([255, 255, 255])


def values_of(bits: int, dtype: str = "uint16") -> np.ndarray:
    return np.rint(GREY * (2**bits - 1)).astype(dtype)


def pgm(bits: int) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        values = values_of(bits).astype(">u2" if bits > 8 else "u1")
        path.write_bytes(b"P5\n12 8\n%d\n" % (2**bits - 1) + values.tobytes())

    return save


def picture(values: np.ndarray, **options: object) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(values).save(path, **options)


def half_clear(path: Path) -> None:
    """The left half is shown, the right one is transparent, its colours are stored all the same."""
    stored = Image.fromarray(COLOURS)
    stored.putalpha(Image.fromarray(np.repeat([[255] * 6 + [0] * 6], 8, 0).astype(np.uint8)))
    stored.save(path)


def half_clear_lossless(path: Path) -> None:
    half_clear(path.with_suffix(".png"))
    with Image.open(path.with_suffix(".png")) as stored:
        stored.save(path, lossless=True, exact=True)


LEFT_ON_WHITE = np.where(np.arange(12)[:, None] < 6, COLOURS, WHITE)
BLACK_AND_KEY = np.where(np.arange(12) < 6, 0, 9).astype(np.uint8) * np.ones((8, 1), np.uint8)
KEY_ON_WHITE = np.where(np.arange(12)[:, None] < 6, 0, WHITE) * np.ones((8, 1, 1), int)


def of_grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


# file, bits in use, how it is saved, what is seen, largest difference
SHOWN = {
    "16 bits": ("x.png", 16, picture(values_of(16)), of_grey(255 * GREY), 1),
    "12 bits in 16": ("x.png", 12, picture(values_of(12)), of_grey(255 * GREY), 1),
    "10 bits in 16": ("x.png", 10, picture(values_of(10)), of_grey(255 * GREY), 1),
    "8 bits in 16": ("x.png", 8, picture(values_of(8)), of_grey(255 * GREY), 1),
    "TIFF, 16 bits": ("x.tif", 16, picture(values_of(16)), of_grey(255 * GREY), 1),
    "TIFF, 12 in 32 bits": ("x.tif", 12, picture(values_of(12, "int32")), of_grey(255 * GREY), 1),
    "TIFF, white is zero": (
        *("x.tif", 12, picture(values_of(12), tiffinfo={262: 0}), of_grey(255 * (1 - GREY)), 1),
    ),
    "TIFF, floats": ("x.tif", 16, picture(GREY.astype("float32")), of_grey(255 * GREY), 1),
    "PGM, 16 bits": ("x.pgm", 16, pgm(16), of_grey(255 * GREY), 1),
    "PGM, 12 bits": ("x.pgm", 16, pgm(12), of_grey(255 * GREY), 1),
    "PGM, 8 bits": ("x.pgm", 16, pgm(8), of_grey(255 * GREY), 1),
    "transparent": ("x.png", 16, half_clear, LEFT_ON_WHITE, 0),
    "transparent WebP": (*("x.webp", 16, half_clear_lossless, LEFT_ON_WHITE, 0),),
    "one grey transparent": ("x.png", 16, picture(BLACK_AND_KEY, transparency=9), KEY_ON_WHITE, 0),
    "a palette with it": (*("x.gif", 16, picture(BLACK_AND_KEY, transparency=9), KEY_ON_WHITE, 0),),
    "CMYK": (
        "x.tif",
        16,
        lambda path: Image.fromarray(COLOURS).convert("CMYK").save(path),
        COLOURS,
        0,
    ),
    "an ending of another format": ("x.jpg", 16, picture(COLOURS, format="PNG"), COLOURS, 0),
}
