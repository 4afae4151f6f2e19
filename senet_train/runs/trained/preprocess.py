"""The preprocessing of a run's images: cropped, scaled, normalised.

Shapes: H height, W width of image_size, which is the size of what the run was tested on.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from senet_train.config.image_size import ImageSize
from senet_train.config.schema import Data
from senet_train.data.augment import Normalise
from senet_train.data.framing import Fit, Resize, framed, margin_of
from senet_train.data.image_files import FULL_DEPTH, read_rgb, to_rgb


@dataclass(frozen=True)
class Preprocess:
    """The evaluation pipeline of a run: decoded, brought to its size by `fit`, normalised.

    Of fit=crop, 1 / `margin` of the largest part of that shape is seen, or the middle of a picture
    whose shorter side is first scaled to `resize` pixels. `bit_depth` is of the values of deep
    pictures, `mean` and `std` are of pixels in 0..1.
    """

    image_size: ImageSize
    margin: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "crop"
    bit_depth: int = FULL_DEPTH
    resize: Resize = "auto"

    @classmethod
    def of(cls, data: Data) -> "Preprocess":
        """The preprocessing with which a run of this data configuration is evaluated."""
        assert data.bit_depth != "auto", "a run's configuration is resolved"
        return cls(
            image_size=data.size_of_test,
            margin=margin_of(data.crop),
            mean=tuple(data.mean),
            std=tuple(data.std),
            fit=data.fit,
            bit_depth=data.bit_depth,
            resize=data.test_resize,
        )

    def pixels(self, image: Image.Image | str) -> Tensor:
        """An opened image or a file -> (H, W, 3) uint8.

        Raises Unreadable for what a file holds, OSError where the system does not give it.
        """
        if isinstance(image, str):
            picture = read_rgb(image, self.bit_depth)
        else:
            picture = to_rgb(image, self.bit_depth)
        seen = framed(picture, self.image_size, self.fit, self.margin, self.resize)
        return torch.from_numpy(np.array(seen))

    def __call__(self, image: Image.Image | str) -> Tensor:
        """An opened image or a file -> (1, 3, H, W) float32, as the network takes it."""
        return self.normalise(self.pixels(image)[None])  # (H, W, 3) -> (1, 3, H, W)

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, in channels-last memory."""
        return Normalise(self.mean, self.std)(pixels)
