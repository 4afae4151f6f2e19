"""The first training images of an epoch, cropped, augmented and mixed, as one picture.

Shapes: B batch, H height, W width, K classes.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from anyascii import anyascii
from PIL import Image, ImageDraw
from torch import Tensor

from senet_train.config.schema import Config, Data
from senet_train.data.find import find_data, resolve_data
from senet_train.data.loaders import TrainingBatches, load_splits
from senet_train.data.mixing import refuse_no_pairs

COLUMNS = 8
LEAST_SIDE = 96  # pixels of an image on the sheet: smaller ones are shown enlarged
MARGIN, LINE = 4, 12  # pixels
WHOLE = 0.995  # of a label that is said without its share


def draw_sheet(config: Config, epoch: int, count: int) -> Image.Image:
    """`count` images at most, of the first batch of the epoch. Raises InputError, RunError.

    Files are read in this process, and those of this batch alone: neither changes a pixel.
    """
    refuse_no_pairs(config.data, config.data.batch_size, 1)
    source, data = find_data(replace(config.data, workers=0))
    data = replace(resolve_data(data, source), cache="stream")
    train = load_splits(source, data).train
    images, labels, _ = next(iter(TrainingBatches(train, data, seed=config.seed, epoch=epoch)))
    titles = [title_of(label, source.class_names) for label in labels[:count]]
    return laid_out(as_seen(images[:count], data), titles)


def as_seen(images: Tensor, data: Data) -> Tensor:
    """What the network gets, (B, 3, H, W), as pixels again, (B, H, W, 3) uint8."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (data.mean, data.std))
    pixels = (255 * (images * std + mean)).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1)


def title_of(label: Tensor, class_names: Sequence[str]) -> str:
    """A label () or shares of classes (K,) -> `cat`, or `cat 0.7, dog 0.3`."""
    if not label.ndim:
        return anyascii(class_names[int(label)])
    shares = sorted(((float(x), i) for i, x in enumerate(label) if x > 0), reverse=True)
    if shares[0][0] > WHOLE:
        return anyascii(class_names[shares[0][1]])
    return ", ".join(f"{anyascii(class_names[i])} {share:.2g}" for share, i in shares)


def laid_out(pixels: Tensor, titles: Sequence[str]) -> Image.Image:
    """The images (B, H, W, 3) in rows of COLUMNS, each with its title below."""
    times = max(1, -(-LEAST_SIDE // min(pixels.shape[1:3])))
    shown = times * pixels.shape[2], times * pixels.shape[1]
    width, height = shown[0] + MARGIN, shown[1] + LINE + MARGIN
    columns = min(COLUMNS, len(titles))
    rows = -(-len(titles) // columns)
    sheet = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (image, title) in enumerate(zip(pixels, titles, strict=True)):
        picture = Image.fromarray(image.numpy()).resize(shown, Image.Resampling.NEAREST)
        left = MARGIN + number % columns * width
        top = MARGIN + number // columns * height
        sheet.paste(picture, (left, top))
        draw.text((left, top + shown[1]), title[: shown[0] // 6], "black")
    return sheet
