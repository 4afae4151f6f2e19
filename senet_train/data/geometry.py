"""Shift, shear and rotation of RandAugment and its kin, with torchvision's pixels to the bit.

torchvision computes for every image anew where each of its pixels comes from, which takes half of
the time of a shear at 128 px. All images of a data set have one size and RandAugment has one
magnitude, so that few of these grids are needed: they are kept. A shift is by whole pixels, and
needs none.

Shapes: B batch, H height, W width. Images are (B, 3, H, W) or (3, H, W) uint8.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
# Of RandAugment 6 are needed. One takes 128 KiB at 128 px and 392 KiB at 224 px, in each worker.
KEPT_GRIDS = 64


def shear_x(slope: float, height: int, width: int) -> Matrix:
    """Rows move sideways, in proportion to their distance from the top."""
    slope = math.tan(angle_of(slope))
    return (1.0, slope, slope * height * 0.5), (0.0, 1.0, 0.0)


def shear_y(slope: float, height: int, width: int) -> Matrix:
    """Columns move up or down, in proportion to their distance from the left."""
    slope = math.sin(angle_of(slope)) / math.cos(angle_of(slope))
    centre = -height * 0.5  # added and subtracted, as torchvision does: that is a rounding
    return (1.0, 0.0, 0.0), (slope, 1.0, centre + slope * width * 0.5 - centre)


def angle_of(slope: float) -> float:
    """By way of degrees, as torchvision: the slope of this angle differs in its last bit."""
    return math.radians(math.degrees(math.atan(slope)))


def rotation(degrees: float, height: int, width: int) -> Matrix:
    """About the centre, anticlockwise."""
    angle = -math.radians(degrees % 360)
    return (math.cos(angle), math.sin(angle), 0.0), (-math.sin(angle), math.cos(angle), 0.0)


# Name -> where a place of the new image lies in the old one, in pixels from the centre.
MATRICES: dict[str, Callable[[float, int, int], Matrix]] = {
    "Rotate": rotation,
    "ShearX": shear_x,
    "ShearY": shear_y,
}


@lru_cache(KEPT_GRIDS)
def source_grid(name: str, magnitude: float, height: int, width: int) -> Tensor:
    """Where each pixel comes from, (1, H, W, 2), in the coordinates of `grid_sample`."""
    x, y = (torch.linspace((1 - n) * 0.5, (n - 1) * 0.5, n) for n in (width, height))
    columns, rows = torch.meshgrid(x, y, indexing="xy")
    places = torch.stack([columns, rows, torch.ones(height, width)], -1)  # (H, W, 3)
    matrix = torch.tensor([MATRICES[name](magnitude, height, width)]).transpose(1, 2)  # (1, 3, 2)
    scaled = matrix / torch.tensor([0.5 * width, 0.5 * height])
    return places.view(1, -1, 3).bmm(scaled).view(1, height, width, 2)


def warped(name: str, images: Tensor, magnitude: float) -> Tensor:
    """Sheared or rotated by bilinear interpolation; what comes in from outside is black."""
    batch = images.reshape(-1, *images.shape[-3:])  # (B, 3, H, W)
    with torch.inference_mode(False):  # a kept grid outlives an evaluation
        grid = source_grid(name, magnitude, *images.shape[-2:])
    grids = grid.expand(len(batch), -1, -1, -1)
    moved = F.grid_sample(batch.float(), grids, "bilinear", "zeros", align_corners=False)
    return moved.round_().to(torch.uint8).view(images.shape)


def shifted_right(images: Tensor, magnitude: float) -> Tensor:
    """By whole pixels, to the left where it is negative; what comes in is black."""
    width = images.shape[-1]
    pixels = max(-width, min(int(magnitude), width))
    return F.pad(images, (pixels, -pixels))


def shifted_down(images: Tensor, magnitude: float) -> Tensor:
    """By whole pixels, up where it is negative; what comes in is black."""
    height = images.shape[-2]
    pixels = max(-height, min(int(magnitude), height))
    return F.pad(images, (0, 0, pixels, -pixels))
