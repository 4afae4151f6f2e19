"""Eight corruptions of images by torchvision's functions, with five severities each.

They are applied to what the network would see, after cropping and scaling. Some resemble those of
ImageNet-C; none is the same. Shapes: B batch, H height, W width.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from senet_train.keyed import forked_random

NUM_SEVERITIES = 5


@dataclass(frozen=True)
class Corruption:
    """`apply((3, H, W) uint8, strength)` at the strengths of severity 1 to 5."""

    name: str
    apply: Callable[[Tensor, float], Tensor]
    strengths: tuple[float, float, float, float, float]


def noise(image: Tensor, sigma: float) -> Tensor:
    """Gaussian noise; `sigma` is in units of pixels in 0..1."""
    return F.gaussian_noise(image, sigma=sigma)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur; `sigma` is a share of the shorter side: it is as strong at any size."""
    sigma *= min(image.shape[-2:])
    return F.gaussian_blur(image, 2 * ceil(3 * sigma) + 1, sigma)


def jpeg(image: Tensor, quality: float) -> Tensor:
    """JPEG artefacts, by Pillow: torchvision 0.29 announces the end of its encoder."""
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=int(quality))
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


CORRUPTIONS = (
    Corruption("gaussian_noise", noise, (0.02, 0.04, 0.08, 0.12, 0.18)),
    Corruption("gaussian_blur", blur, (0.01, 0.02, 0.03, 0.045, 0.06)),
    Corruption("jpeg", jpeg, (60, 40, 25, 15, 8)),
    Corruption("brightness", F.adjust_brightness, (1.2, 1.4, 1.7, 2.0, 2.5)),
    Corruption("contrast", F.adjust_contrast, (0.75, 0.5, 0.35, 0.2, 0.1)),
    Corruption("saturation", F.adjust_saturation, (0.75, 0.5, 0.25, 0.1, 0.0)),
    Corruption("posterize", lambda image, bits: F.posterize(image, int(bits)), (6, 5, 4, 3, 2)),
    Corruption("solarize", F.solarize, (240, 208, 176, 144, 112)),
)


def corrupted(
    pixels: Tensor, corruption: Corruption, severity: int, image_ids: Sequence[str]
) -> Tensor:
    """(B, H, W, 3) uint8 -> the same shape, corrupted with a severity of 1 to 5.

    Random numbers are keyed by the image, so the result depends on no other image.
    """
    strength = corruption.strengths[severity - 1]
    images = []
    for image, image_id in zip(pixels.permute(0, 3, 1, 2), image_ids, strict=True):
        with forked_random("corruption", corruption.name, severity, image_id):
            images.append(corruption.apply(image, strength))
    return torch.stack(images).permute(0, 2, 3, 1)
