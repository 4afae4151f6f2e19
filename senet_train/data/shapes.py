"""Seeded images of shapes on noise, with a box, a label and a mask for each shape.

One to four rectangles, ellipses and triangles of one colour each. A shape drawn later may cover a
part of an earlier one; masks and boxes are of the visible part, and of every shape at least
MIN_VISIBLE pixels are visible. Lengths below are for an image of SIZE pixels, and scale with it.

Shapes: N images, K shapes of one image, H = W = `size` pixels.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.ops import masks_to_boxes

from senet_train.data.images import Source
from senet_train.data.scenes import Scene, SceneImages
from senet_train.errors import InputError
from senet_train.keyed import keyed_generator

SIZE = 64  # pixels; no image is smaller
MAX_SHAPES = 4
MIN_SIDE, MAX_SIDE = 12, 32  # pixels of the frame that a shape is drawn into
MIN_VISIBLE = 40  # pixels: a quarter of the smallest rectangle, half of the smallest triangle
NOISE = 96  # the background's values are below it
MIN_COLOUR = 128  # the brightest of a colour's three values is not below it
FEWEST = 40  # images: at least two of each number of shapes, and a part of them to validate on
BYTES_A_PIXEL = 3 + 3 + 8 + MAX_SHAPES  # drawn, stacked, its class, a mask for each shape
MOST_BYTES = 8 * 2**30  # of memory while they are drawn
CLASS_NAMES = ("rectangle", "ellipse", "triangle")  # labels 1, 2, 3; 0 is the background


Frame = tuple[int, int, int, int]  # left, top, right, bottom; all inside the shape


def rectangle(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    """All of the frame."""
    draw.rectangle(frame, fill=1)


def ellipse(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    """The ellipse that touches all four sides of the frame."""
    draw.ellipse(frame, fill=1)


def triangle(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    """Its base is the frame's bottom, its tip the middle of the top."""
    left, top, right, bottom = frame
    draw.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=1)


DRAW: tuple[Callable[[ImageDraw.ImageDraw, Frame], None], ...] = (rectangle, ellipse, triangle)


def shapes_source(*, image_size: int, num_images: int, num_test_images: int) -> Source:
    """`num_images` to train and validate on, drawn under one seed, the test images under another.

    Raises InputError for images too small for shapes, and for too few to split or to hold.
    """
    refuse_size(image_size)
    for name, count in (("num_images", num_images), ("num_test_images", num_test_images)):
        if count < FEWEST:
            raise InputError(f"data.{name}={count} is too few: choose data.{name} >= {FEWEST}")
        if BYTES_A_PIXEL * count * image_size**2 > MOST_BYTES:
            raise InputError(
                f"data.{name}={count} of data.image_size={image_size} take more than "
                f"{MOST_BYTES // 2**30} GiB of memory: choose less of either"
            )

    def draw(part: str, seed: int, count: int) -> SceneImages:
        ids = [f"shapes/{part}/{i}" for i in range(count)]
        return SceneImages.of(shapes(count, seed=seed, size=image_size), ids)

    return Source(
        ("background", *CLASS_NAMES),
        f"shapes-{num_images}-{num_test_images}-{image_size}",
        lambda: (draw("train", 0, num_images), draw("test", 1, num_test_images)),
        num_images=num_images,
    )


def refuse_size(image_size: int) -> None:
    """Raises InputError where the smallest shapes would be too small to tell apart."""
    if image_size < SIZE:
        raise InputError(
            f"data.image_size={image_size} is too small for shapes: choose data.image_size >= "
            f"{SIZE}"
        )


def shapes(num_images: int, *, seed: int, size: int = SIZE) -> list[Scene]:
    """The first `num_images` images of a seed; each depends on seed, number and size alone."""
    return [scene(seed, number, size) for number in range(num_images)]


def scene(seed: int, number: int, size: int) -> Scene:
    """One image, drawn from the background to the front."""
    generator = keyed_generator("shapes", seed, number)
    num_shapes = draw_between(1, MAX_SHAPES, generator)
    labels, masks = torch.empty(0, dtype=torch.int64), torch.empty(0, size, size, dtype=torch.bool)
    pixels = torch.randint(NOISE, (size, size, 3), dtype=torch.uint8, generator=generator)
    while len(labels) < num_shapes:
        label = draw_between(1, len(CLASS_NAMES), generator)
        mask, colour = mask_of(label, size, generator), colour_from(generator)
        seen = torch.cat([masks & ~mask, mask[None]])
        if seen.sum((1, 2)).min() < MIN_VISIBLE * (size / SIZE) ** 2:
            continue  # it would hide another: draw it elsewhere
        labels, masks = torch.cat([labels, torch.tensor([label])]), seen
        pixels[mask] = colour
    boxes = masks_to_boxes(masks)
    boxes[:, 2:] += 1  # from the last pixel to the edge behind it
    return Scene(pixels, boxes, labels, masks)


def mask_of(label: int, size: int, generator: torch.Generator) -> Tensor:
    """A shape of that label somewhere in the image, (H, W) bool."""
    shortest, longest = MIN_SIDE * size // SIZE, MAX_SIDE * size // SIZE
    width, height = (draw_between(shortest, longest, generator) for _ in range(2))
    left = draw_between(0, size - width, generator)
    top = draw_between(0, size - height, generator)
    image = Image.new("L", (size, size))
    DRAW[label - 1](ImageDraw.Draw(image), (left, top, left + width - 1, top + height - 1))
    return torch.from_numpy(np.array(image)).bool()


def colour_from(generator: torch.Generator) -> Tensor:
    """Three values, (3,) uint8, of which one is brighter than any noise."""
    colour = torch.randint(256, (3,), dtype=torch.uint8, generator=generator)
    colour[draw_between(0, 2, generator)] = draw_between(MIN_COLOUR, 255, generator)
    return colour


def draw_between(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
