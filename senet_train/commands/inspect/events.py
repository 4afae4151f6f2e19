"""An inspection for TensorBoard: a histogram of each layer, the pictures, the graph on request."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from senet_train.backbones.tail import composed
from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.session import RunInspection
from senet_train.commands.inspect.statistics import EDGES
from senet_train.config.image_size import height_width
from senet_train.figures import Picture

LARGEST = 1600  # pixels of a picture's longer side


def write_events(
    inspection: RunInspection, pictures: Sequence[Picture], folder: Path, *, graph: bool
) -> None:
    """Write an event file into `folder` in place of the one that was there."""
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    writer = SummaryWriter(str(folder))
    try:
        for layer in inspection.gates.layers:
            write_histogram(writer, layer)
        for picture in pictures:
            tag = f"excitations/{picture.name}"
            writer.add_image(tag, pixels_of(picture), dataformats="HWC")
        if graph:
            write_graph(writer, inspection)
    finally:
        writer.close()


def write_histogram(writer: SummaryWriter, layer: Layer) -> None:
    """The layer's gates over all images, from the bins they were counted in."""
    counts = layer.gates.histogram
    if not counts.any():
        return
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    filled = np.flatnonzero(counts)
    writer.add_histogram_raw(
        f"gates/{layer.block}",
        min=float(EDGES[filled[0]]),
        max=float(EDGES[filled[-1] + 1]),
        num=int(counts.sum()),
        sum=float((counts * middles).sum()),
        sum_squares=float((counts * middles**2).sum()),
        bucket_limits=EDGES[1:].tolist(),
        bucket_counts=counts.tolist(),
    )


def pixels_of(picture: Picture) -> np.ndarray:
    """The PNG as an array, (H, W, 3), of at most LARGEST pixels a side."""
    image = Image.open(io.BytesIO(picture.png), formats=("PNG",)).convert("RGB")
    image.thumbnail((LARGEST, LARGEST))
    return np.asarray(image)


def write_graph(writer: SummaryWriter, inspection: RunInspection) -> None:
    """The network as TensorBoard's GRAPHS tab shows it."""
    run = inspection.run
    shape = height_width(run.preprocess.image_size)
    run.model.use_tail(composed)  # the tracer cannot look into the other kernels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer, of its own deprecation
        writer.add_graph(run.model.cpu(), torch.zeros(1, 3, *shape))
