"""Seeded images of shapes on noise, with a box, a label and a mask each: to find and to segment.

One to four rectangles, ellipses and triangles of one colour each. A shape drawn later may cover a
part of an earlier one; masks and boxes are of what is left to be seen, and of every shape at least
MIN_VISIBLE pixels are.

Shapes: N images, K shapes of one image, H = W = SIZE pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.ops import masks_to_boxes

from senet_train.keyed import keyed_generator

SIZE = 64  # pixels
MAX_SHAPES = 4
MIN_SIDE, MAX_SIDE = 12, 32  # pixels of the frame that a shape is drawn into
MIN_VISIBLE = 40  # pixels: a quarter of the smallest rectangle, half of the smallest triangle
NOISE = 96  # the background's values are below it
MIN_COLOUR = 128  # the brightest of a colour's three values is not below it
CLASS_NAMES = ("rectangle", "ellipse", "triangle")  # labels 1, 2, 3; 0 is the background

Frame = tuple[int, int, int, int]  # left, top, right, bottom; all inside the shape


def rectangle(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    """All of the frame."""
    draw.rectangle(frame, fill=1)


def ellipse(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    """What touches all four sides of the frame."""
    draw.ellipse(frame, fill=1)


def triangle(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    """On the frame's bottom, its tip in the middle of the top."""
    left, top, right, bottom = frame
    draw.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=1)


DRAW: tuple[Callable[[ImageDraw.ImageDraw, Frame], None], ...] = (rectangle, ellipse, triangle)


@dataclass(frozen=True)
class Scene:
    """One image and what is in it, in the form that torchvision's detectors are trained with."""

    pixels: Tensor  # (H, W, 3) uint8
    boxes: Tensor  # (K, 4) float32: left, top, right, bottom in pixels, the last two excluded
    labels: Tensor  # (K,) int64, from 1
    masks: Tensor  # (K, H, W) bool; no pixel is in two

    def classes(self) -> Tensor:
        """The class of every pixel, (H, W) int64; 0 is the background."""
        return (self.masks * self.labels[:, None, None]).sum(0)


def shapes(num_images: int, *, seed: int) -> list[Scene]:
    """Images 0 to `num_images` of a seed; an image hangs on the seed and its number alone."""
    return [scene(seed, number) for number in range(num_images)]


def scene(seed: int, number: int) -> Scene:
    """One image, drawn from the background to the front."""
    generator = keyed_generator("shapes", seed, number)
    num_shapes = draw_between(1, MAX_SHAPES, generator)
    labels, masks = torch.empty(0, dtype=torch.int64), torch.empty(0, SIZE, SIZE, dtype=torch.bool)
    pixels = torch.randint(NOISE, (SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    while len(labels) < num_shapes:
        label = draw_between(1, len(CLASS_NAMES), generator)
        mask, colour = mask_of(label, generator), colour_from(generator)
        seen = torch.cat([masks & ~mask, mask[None]])
        if seen.sum((1, 2)).min() < MIN_VISIBLE:
            continue  # it would hide another: draw it elsewhere
        labels, masks = torch.cat([labels, torch.tensor([label])]), seen
        pixels[mask] = colour
    boxes = masks_to_boxes(masks)
    boxes[:, 2:] += 1  # from the last pixel to the edge behind it
    return Scene(pixels, boxes, labels, masks)


def mask_of(label: int, generator: torch.Generator) -> Tensor:
    """A shape of that label somewhere in the image, (H, W) bool."""
    width, height = (draw_between(MIN_SIDE, MAX_SIDE, generator) for _ in range(2))
    left = draw_between(0, SIZE - width, generator)
    top = draw_between(0, SIZE - height, generator)
    image = Image.new("L", (SIZE, SIZE))
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
