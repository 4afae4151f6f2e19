"""`data.image_size`: the side of square images in pixels, or `[height, width]`."""

from collections.abc import Sequence

ImageSize = int | Sequence[int]


def height_width(size: ImageSize) -> tuple[int, int]:
    """The height and the width in pixels."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def num_pixels(size: ImageSize) -> int:
    """Height times width."""
    height, width = height_width(size)
    return height * width


def shorter_side(size: ImageSize) -> int:
    """In pixels."""
    return min(height_width(size))


def canonical_size(size: ImageSize) -> int | list[int]:
    """`[96, 96]` is 96: the same images, said twice."""
    height, width = height_width(size)
    return height if height == width else [height, width]


def typed_size(size: ImageSize) -> str:
    """As it is typed: `128`, `[128,256]`."""
    height, width = height_width(size)
    return str(height) if height == width else f"[{height},{width}]"


def size_words(size: ImageSize) -> str:
    """`128 px`, or `128 x 256 px`, height first."""
    height, width = height_width(size)
    return f"{height} px" if height == width else f"{height} x {width} px"
