"""Encode a run in several formats, and compare each file's logits with the run's.

Shapes: B batch, H height, W width.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.commands.export.encoders import ENCODERS
from senet_train.commands.export.metadata import metadata_of
from senet_train.commands.export.pipeline import folded_pipeline, pipeline_of
from senet_train.config.image_size import ImageSize, height_width
from senet_train.errors import RunError
from senet_train.keyed import keyed_generator
from senet_train.runs.trained.load import Trained

BATCH_SIZES = (1, 3)  # the batch size must be open, and one image is a case of its own
COARSE = 4  # pixels of the noise that the smooth images are enlarged from


class Unequal(RunError):
    """The exported file's logits are not the run's."""


def encode_and_check(
    run: Trained, formats: Sequence[str], tolerance: float
) -> tuple[list[bytes], list[str]]:
    """The content of each format's file, and lines on them. Raises Unequal, InputError."""
    contents, lines = [], []
    if any(ENCODERS[name].folded for name in formats):
        pipeline, folded = folded_pipeline(run)
        lines.append(f"{run.label}: {folded}")
    else:
        pipeline = pipeline_of(run)
    for name in formats:
        content = ENCODERS[name].encode(pipeline, run, metadata_of(run))
        difference = largest_difference(run, ENCODERS[name].reader(content))
        refuse_unequal(difference, tolerance, name)
        lines.append(f"{name}: logits differ from the run's by {difference:.2g} at most")
        contents.append(content)
    return contents, lines


def largest_difference(run: Trained, logits_of: Callable[[Tensor], Tensor]) -> float:
    """Between the run's logits and the file's; nan if one of them is not a number."""
    differences = []
    for images in trial_images(run.preprocess.image_size):
        with torch.no_grad():
            expected = run.model(run.preprocess.normalise(images))
        differences.append((logits_of(images) - expected).abs().max())
    return float(torch.stack(differences).max())


def trial_images(size: ImageSize) -> Iterator[Tensor]:
    """Batches of noise and of smooth images, which have a photograph's range: (B, H, W, 3)."""
    height, width = height_width(size)
    for num in BATCH_SIZES:
        generator = keyed_generator("export", height, width, num)
        shape = (num, height, width, 3)
        yield torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        coarse = 255 * torch.rand((num, 3, COARSE, COARSE), generator=generator)
        smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255)
        pixels = smooth.to(torch.uint8).permute(0, 2, 3, 1)  # (B, 3, H, W) -> (B, H, W, 3)
        yield pixels.contiguous()


def refuse_unequal(difference: float, tolerance: float, name: str) -> None:
    """Raises Unequal for a difference above the tolerance, and for nan."""
    if not difference <= tolerance:
        raise Unequal(
            f"the {name} file's logits differ from the run's by {difference:.2g}, above "
            f"--tolerance {tolerance:.2g}: nothing was written"
        )
