"""RandAugment and TrivialAugment of an image or of a batch, with torchvision's draws and pixels.

Every image draws for itself, as torchvision does for one image. Those of a batch that drew one
operation at one magnitude go through it together: the pixels are those of one after the other.

torchvision's own classes take 45 us to draw for an image, and move it as slowly as `geometry.py`
says. What they draw and compute is the same to the bit; a test compares.

Shapes: B batch, H height, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from senet_train.data.geometry import shifted_down, shifted_right, warped

Drawn = tuple[str, float]  # the name of an operation, and its magnitude


def sharpened(images: Tensor, factor: float) -> Tensor:
    """torchvision's `adjust_sharpness` in less than half its time: sums, and no convolution.

    An inner pixel goes away from the mean of its neighbourhood, in which it counts five times.
    """
    if min(images.shape[-2:]) <= 2:
        return images
    pixels = images.float()
    sums = three(three(pixels, -1), -2)
    inner = pixels[..., 1:-1, 1:-1]
    mean = sums.add_(inner, alpha=4).mul_(1 / 13).round_()  # of sums of integers: never half-way
    inner.add_(mean.sub_(inner), alpha=1.0 - factor)
    return pixels.clamp_(0, 255).to(torch.uint8)


def three(pixels: Tensor, dim: int) -> Tensor:
    """Sums of three neighbours along a dimension, which is two shorter."""
    length = pixels.shape[dim] - 2
    first, second, third = (pixels.narrow(dim, start, length) for start in range(3))
    return (first + second).add_(third)


# Images (..., 3, H, W) uint8 and a magnitude -> images. The order is torchvision's: a draw is a
# place in it.
OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Identity": lambda images, _: images,
    "ShearX": partial(warped, "ShearX"),
    "ShearY": partial(warped, "ShearY"),
    "TranslateX": shifted_right,
    "TranslateY": shifted_down,
    "Rotate": partial(warped, "Rotate"),
    "Brightness": lambda images, change: functional.adjust_brightness(images, 1.0 + change),
    "Color": lambda images, change: functional.adjust_saturation(images, 1.0 + change),
    "Contrast": lambda images, change: functional.adjust_contrast(images, 1.0 + change),
    "Sharpness": lambda images, change: sharpened(images, 1.0 + change),
    "Posterize": lambda images, bits: functional.posterize(images, int(bits)),
    "Solarize": lambda images, part: functional.solarize(images, 255.0 * part),
    "AutoContrast": lambda images, _: functional.autocontrast(images),
    "Equalize": lambda images, _: functional.equalize(images),
}
NAMES = tuple(OPERATIONS)
BINS = 31  # magnitudes from nothing to the largest
COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")
# Half of them, by chance, are negative: to the left, darker, blurred.
SIGNED = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", *COLOURS}

Magnitudes = dict[str, list[float]]  # name -> BINS magnitudes; no entry where there is none


@cache
def of_randaugment(height: int, width: int) -> Magnitudes:
    """torchvision's magnitudes of RandAugment; shifts are parts of the side."""
    largest = {"ShearX": 0.3, "ShearY": 0.3, "Rotate": 30.0, **dict.fromkeys(COLOURS, 0.9)}
    shifts = {"TranslateX": 150.0 / 331.0 * width, "TranslateY": 150.0 / 331.0 * height}
    return all_magnitudes(largest | shifts, most_bits=4)


@cache
def of_trivial_augment(height: int, width: int) -> Magnitudes:
    """torchvision's magnitudes of TrivialAugment (wide); shifts are pixels, whatever the size."""
    largest = {"ShearX": 0.99, "ShearY": 0.99, "Rotate": 135.0, **dict.fromkeys(COLOURS, 0.99)}
    return all_magnitudes(largest | {"TranslateX": 32.0, "TranslateY": 32.0}, most_bits=6)


def all_magnitudes(largest: dict[str, float], most_bits: int) -> Magnitudes:
    """From 0 to the largest; bits of 8 that are kept; part of white above which it is turned."""
    bits = 8 - (torch.arange(BINS) / ((BINS - 1) / most_bits)).round()
    found = {name: torch.linspace(0.0, value, BINS).tolist() for name, value in largest.items()}
    return found | {"Posterize": bits.tolist(), "Solarize": torch.linspace(1.0, 0.0, BINS).tolist()}


@dataclass(frozen=True)
class RandomOperations:
    """`num_ops` operations by chance, one after the other.

    `bin` is the place of their magnitude among the `magnitudes` of images of H x W, or `any`: each
    time another, by chance.
    """

    num_ops: int
    bin: int | Literal["any"]
    magnitudes: Callable[[int, int], Magnitudes]

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W) uint8 -> (3, H, W) uint8, drawn from torch's own generator."""
        for name, magnitude in self.draw(image):
            image = OPERATIONS[name](image, magnitude)
        return image

    def draw(self, image: Tensor) -> list[Drawn]:
        """What an image (3, H, W) goes through."""
        magnitudes = self.magnitudes(*image.shape[-2:])
        return [self.draw_one(magnitudes) for _ in range(self.num_ops)]

    def draw_one(self, magnitudes: Magnitudes) -> Drawn:
        """In the order in which torchvision draws: operation, magnitude, sign."""
        name = NAMES[int(torch.randint(len(NAMES), ()))]
        if name not in magnitudes:
            return name, 0.0
        place = int(torch.randint(BINS, ())) if self.bin == "any" else self.bin
        magnitude = magnitudes[name][place]
        return name, -magnitude if name in SIGNED and torch.rand(()).item() <= 0.5 else magnitude

    def apply(self, planes: Tensor, drawn: Sequence[Sequence[Drawn]]) -> Tensor:
        """Images (B, 3, H, W), each through the operations that it drew."""
        planes = planes.clone()
        for step in zip(*drawn, strict=True):
            groups: dict[Drawn, list[int]] = {}
            for i, operation in enumerate(step):
                groups.setdefault(operation, []).append(i)
            for (name, magnitude), members in groups.items():
                rows = torch.tensor(members)
                planes[rows] = OPERATIONS[name](planes[rows], magnitude)
        return planes
