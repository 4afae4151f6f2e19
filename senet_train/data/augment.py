"""Augment a whole batch of uint8 images at once, from a table with a row of draws per image.

The table is drawn once per epoch from a generator keyed by (seed, epoch), so an image's crop,
flip and cutout do not depend on batch size, order, workers or model.

Shapes: N images, B batch, H height, W width, P padding.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.data.placement import to_device
from senet_train.keyed import keyed_generator

PaddingMode = Literal["zeros", "reflect"]
NUM_DRAWS = 5  # crop row, crop column, flip, cutout row, cutout column


def draw_table(num_images: int, seed: int, epoch: int) -> Tensor:
    """Uniform draws for one epoch, (N, NUM_DRAWS) in [0, 1)."""
    return torch.rand(num_images, NUM_DRAWS, generator=keyed_generator("augment", seed, epoch))


def mirrored(draws: Tensor) -> Tensor:
    """Which images of a batch are flipped if `flip` is set, (B, NUM_DRAWS) -> (B,) bool."""
    return draws[:, 2] < 0.5


@dataclass(frozen=True)
class Augment:
    """Shift within a border of `padding` pixels, mirror half the images, erase a `cutout` square.

    Where the pixels and the draws are; the result is the same everywhere, to the bit.
    """

    padding: int
    flip: bool
    cutout: int
    padding_mode: PaddingMode = "zeros"

    def __call__(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 and (B, NUM_DRAWS) -> (B, H, W, 3) uint8."""
        if self.padding:
            pixels = shifted(pixels, draws[:, :2], self.padding, self.padding_mode)
        if self.flip:
            pixels = flipped(pixels, mirrored(draws))
        if self.cutout:
            pixels = erase_squares(pixels, draws[:, 3:5], self.cutout)
        return pixels


def flipped(pixels: Tensor, flips: Tensor) -> Tensor:
    """The images (B, H, W, 3) whose flip (B,) is set, mirrored.

    By rows of both: `torch.where` takes three times as long on a CPU.
    """
    rows = torch.arange(len(pixels), device=pixels.device) + len(pixels) * flips
    return torch.cat([pixels, pixels.flip(2)]).index_select(0, rows)


def shifted(pixels: Tensor, draws: Tensor, padding: int, mode: PaddingMode = "zeros") -> Tensor:
    """Each image within a border of `padding` pixels, from where its draws (B, 2) say."""
    offsets = (draws * (2 * padding + 1)).long()  # (B, 2) in 0..2P
    padded = BORDERS[mode](pixels, padding)  # (B, H + 2P, W + 2P, 3)
    take = sliced if pixels.device.type == "cpu" else gathered
    return take(padded, offsets, *pixels.shape[1:3])


def with_zeros(pixels: Tensor, padding: int) -> Tensor:
    """(B, H, W, 3) -> (B, H + 2P, W + 2P, 3), zero at the border."""
    p = padding
    return F.pad(pixels, (0, 0, p, p, p, p))


def with_reflection(pixels: Tensor, padding: int) -> Tensor:
    """The same with the image mirrored at its edges, which are not repeated; P < H, W.

    By indices, which every device has for bytes.
    """
    for dim in (1, 2):
        last = pixels.shape[dim] - 1
        places = torch.arange(-padding, last + padding + 1, device=pixels.device)
        pixels = pixels.index_select(dim, last - (last - places.abs()).abs())
    return pixels


BORDERS = {"zeros": with_zeros, "reflect": with_reflection}


def sliced(padded: Tensor, offsets: Tensor, height: int, width: int) -> Tensor:
    """A window of each image, by slices: on a CPU half of the time at 32 px, a fifth at 128."""
    windows = zip(padded.unbind(), offsets.tolist(), strict=True)
    return torch.stack([image[y : y + height, x : x + width] for image, (y, x) in windows])


def gathered(padded: Tensor, offsets: Tensor, height: int, width: int) -> Tensor:
    """The same by indices: a GPU has the offsets, and need not wait until the host knows them."""
    device = padded.device
    rows = offsets[:, :1] + torch.arange(height, device=device)  # (B, H)
    columns = offsets[:, 1:] + torch.arange(width, device=device)  # (B, W)
    batch = torch.arange(len(padded), device=device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]]


def erase_squares(pixels: Tensor, centres: Tensor, size: int) -> Tensor:
    """Zero a `size` x `size` square around each centre, (B, 2) in [0, 1); edges cut it off.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
    https://arxiv.org/abs/1708.04552.
    """
    _, height, width, _ = pixels.shape
    top = (centres[:, :1] * height).long() - size // 2  # (B, 1)
    left = (centres[:, 1:] * width).long() - size // 2
    rows = torch.arange(height, device=pixels.device)
    columns = torch.arange(width, device=pixels.device)
    in_rows = (rows >= top) & (rows < top + size)  # (B, H)
    in_columns = (columns >= left) & (columns < left + size)  # (B, W)
    inside = in_rows[:, :, None] & in_columns[:, None, :]  # (B, H, W)
    return pixels.masked_fill(inside[..., None], 0)


@dataclass(frozen=True)
class Normalise:
    """uint8 pixels to zero mean and unit variance per channel; mean and std in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, in channels-last memory."""
        scale, shift = constants(self.mean, self.std, pixels.shape[2], pixels.device)
        lines = pixels.flatten(2).float()  # (B, H, W * 3)
        return torch.addcmul(shift, lines, scale).view(pixels.shape).permute(0, 3, 1, 2)


@cache
def constants(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Scale and shift of Normalise for a line of pixels, (W * 3,) each, made once for each device.

    Of three numbers, addcmul would take four times as long on a CPU.
    """
    with torch.inference_mode(False):  # they outlive an evaluation
        scale = 1 / (255 * torch.tensor(std))
        shift = -torch.tensor(mean) / torch.tensor(std)
        return to_device(scale.repeat(width), device), to_device(shift.repeat(width), device)
