"""The preprocessing of a run's images: cropped, scaled, normalised.

Shapes: H = W = image_size.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from senet_train.config.schema import Data
from senet_train.data.augment import Normalise
from senet_train.data.image_files import read_rgb, to_rgb
from senet_train.data.imagenet_subset import centre


@dataclass(frozen=True)
class Preprocess:
    """The evaluation pipeline of a run: 1 / `margin` of the shorter side, scaled, normalised.

    `mean` and `std` are of pixels in 0..1.
    """

    image_size: int
    margin: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, data: Data) -> "Preprocess":
        """The preprocessing with which a run of this data configuration is evaluated."""
        margin = 256 / 224 if data.crop == "resized" else 1.0
        return cls(data.image_size, margin, tuple(data.mean), tuple(data.std))

    def pixels(self, image: Image.Image | str) -> Tensor:
        """An opened image or a file -> (H, W, 3) uint8.

        Raises Unreadable for what a file holds, OSError where the system does not give it.
        """
        picture = read_rgb(image)[0] if isinstance(image, str) else to_rgb(image)
        if picture.size != (self.image_size, self.image_size):
            picture = centre(picture, self.image_size, self.margin)
        return torch.from_numpy(np.array(picture))

    def __call__(self, image: Image.Image | str) -> Tensor:
        """An opened image or a file -> (1, 3, H, W) float32, as the network takes it."""
        return self.normalise(self.pixels(image)[None])  # (H, W, 3) -> (1, 3, H, W)

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, in channels-last memory."""
        return Normalise(self.mean, self.std)(pixels)
