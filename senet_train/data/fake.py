"""Seeded random images of any shape and number: for tests and timing, nothing to learn."""

import torch

from senet_train.data.images import MemoryImages, Source
from senet_train.errors import InputError
from senet_train.keyed import keyed_generator

MOST_BYTES = 8 * 2**30  # they are drawn in memory


def fake(*, image_size: int, num_classes: int, num_images: int, num_test_images: int) -> Source:
    """`num_images` to train and validate on and `num_test_images` to test on, labels in turn."""
    for name, count in (("num_images", num_images), ("num_test_images", num_test_images)):
        if count < 2 * num_classes:
            raise InputError(
                f"data.{name}={count} is too few for {num_classes} classes: "
                f"choose data.{name} >= {2 * num_classes}"
            )
        if 3 * count * image_size**2 > MOST_BYTES:
            raise InputError(
                f"data.{name}={count} of data.image_size={image_size} are more than "
                f"{MOST_BYTES // 2**30} GiB of pixels: choose less of either"
            )

    def draw(part: str, count: int) -> MemoryImages:
        shape = (count, image_size, image_size, 3)
        generator = keyed_generator("fake", part)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        labels = torch.arange(count) % num_classes
        return MemoryImages(pixels, labels, [f"fake/{part}/{i}" for i in range(count)])

    names = tuple(f"class{i}" for i in range(num_classes))
    fingerprint = f"fake-{num_images}-{num_test_images}-{image_size}-{num_classes}"
    return Source(
        names,
        fingerprint,
        lambda: (draw("train", num_images), draw("test", num_test_images)),
        num_images=num_images,
    )
