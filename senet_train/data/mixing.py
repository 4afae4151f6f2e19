"""`data.mixup` and `data.cutmix`: the images of a batch in pairs, and their labels with them.

An image's partner is the one half a batch further on, and that one's partner is the image. One draw
is made for a batch, under the key (seed, epoch, batch): all networks see the same mixed pairs. Of
the processes of one run each has every W-th image of a batch, and so both of a pair, if the batch
has an even number of images for each.

Shapes: B batch, H height, W width, K classes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from senet_train.config.schema import Data
from senet_train.errors import InputError
from senet_train.keyed import forked_random


@dataclass(frozen=True)
class Mixture:
    """What the images of one batch are made of.

    `own` is the part of an image that is its own, of its label as well. In `box`, (top, bottom,
    left, right), all is the partner's and outside nothing; without a box it is so everywhere.
    """

    own: float
    box: tuple[int, int, int, int] | tuple[()] = ()

    def images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W). The host waits for no device."""
        partners = images.roll(len(images) // 2, 0)
        if not self.box:
            return partners.mul_(1 - self.own).add_(images.mul(self.own))
        top, bottom, left, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
        return mixed

    def labels(self, labels: Tensor, num_classes: int) -> Tensor:
        """(B,) int64 -> (B, K) float32, the share of each class."""
        classes = torch.arange(num_classes, device=labels.device)
        shares = (labels[:, None] == classes).float()
        return shares.roll(len(labels) // 2, 0).mul_(1 - self.own).add_(shares.mul(self.own))


def is_mixed(data: Data) -> bool:
    """Whether images are mixed."""
    return (data.mixup, data.cutmix) != ("none", "none")


def draw_mixture(data: Data, height: int, width: int, *key: int) -> Mixture:
    """The mixture of the batch of this key; with both settings, one of them by equal chance.

    In the order in which torchvision's MixUp and CutMix draw.
    """
    with forked_random("mix", *key):
        both = "none" not in (data.mixup, data.cutmix)
        if data.cutmix == "none" or (both and torch.rand(()) < 0.5):
            assert data.mixup != "none"
            return Mixture(draw_own(data.mixup))
        own = draw_own(data.cutmix)
        column, row = int(torch.randint(width, (1,))), int(torch.randint(height, (1,)))
    return cut(own, row, column, height, width)


def draw_own(alpha: float) -> float:
    """A number in 0..1 from Beta(alpha, alpha), under torch's own generator."""
    concentration = torch.tensor([alpha])
    return float(torch.distributions.Beta(concentration, concentration).sample(()))


def cut(own: float, row: int, column: int, height: int, width: int) -> Mixture:
    """The box of about 1 - `own` of the area round (row, column), as far as it is in the image."""
    half = 0.5 * math.sqrt(1 - own)
    rows, columns = int(half * height), int(half * width)
    top, bottom = max(row - rows, 0), min(row + rows, height)
    left, right = max(column - columns, 0), min(column + columns, width)
    area = (bottom - top) * (right - left)
    return Mixture(1 - area / (height * width), (top, bottom, left, right))


def refuse_no_pairs(data: Data, batch_size: int, devices: int) -> None:
    """Raises InputError for a mixed batch whose pairs would be in two processes, or of no pair."""
    if not is_mixed(data) or (batch_size > 1 and (devices == 1 or batch_size % (2 * devices) == 0)):
        return
    key = "data.cutmix" if data.mixup == "none" else "data.mixup"
    need = f"a multiple of {2 * devices}" if devices > 1 else "at least 2"
    raise InputError(
        f"{key}={getattr(data, key[5:])} mixes pairs, and a batch of {batch_size} images has none "
        f"for each of trainer.devices={devices}: choose data.batch_size {need}"
    )
