"""Does it pay to hold the images in memory, or to keep workers? Time an epoch's batches each way.

    uv run scripts/measure_loading.py DIR [--image-size 32] [--crop pad] [--rounds 5]

The ways take turns. DIR holds train/<class>/* and val/<class>/* (or test/<class>/*). Nothing is
trained: the figures are images per second that loading and augmentation alone can deliver.
"""

import argparse
import statistics
import time
from functools import partial
from typing import Literal

import torch

from senet_train.config.compose import composed
from senet_train.config.schema import Data
from senet_train.data.imagenet_subset import imagenet_subset
from senet_train.data.images import FileImages, Images
from senet_train.data.loaders import TrainingBatches
from senet_train.runs.environment import cpu_name

KEPT = "stream, 2 workers, kept"


def main() -> None:
    """Print a table: way of storing, median images/s, range."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--crop", choices=("pad", "resized"), default="pad")
    parser.add_argument("--images-per-class", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ways = ways_to_store(
        arguments.root, arguments.image_size, arguments.crop, arguments.images_per_class
    )
    data = settings(arguments.image_size, arguments.crop)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    kept = ways[KEPT]
    assert isinstance(kept, FileImages)
    with kept.reader.kept():
        for epoch in range(arguments.rounds + 1):
            for name, images in ways.items():
                rate = epoch_rate(images, data, epoch)
                if epoch:  # the first round warms up the page cache
                    rates[name].append(rate)
    print(f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{arguments.image_size} px, {arguments.rounds} rounds: median images/s (range)")
    for name, values in rates.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{name:24s} {statistics.median(values):10,.0f} ({spread})")


def ways_to_store(
    root: str, image_size: int, crop: Literal["none", "pad", "resized"], images_per_class: int
) -> dict[str, Images]:
    """The same images as files read by 0, 1 and 2 workers, and in memory unless cropped."""
    find = partial(
        imagenet_subset,
        root=root,
        classes="all",
        images_per_class=images_per_class,
        image_size=image_size,
        crop=crop,
    )
    files = {workers: find(workers=workers).load()[0] for workers in (0, 1, 2)}
    streams = {f"stream, {workers} workers": images for workers, images in files.items()}
    streams[KEPT] = find(workers=2).load()[0]
    if crop == "resized":
        return streams
    assert isinstance(files[2], FileImages)
    start = time.perf_counter()
    memory = files[2].to_memory()
    seconds = time.perf_counter() - start
    print(f"decoding {len(memory.labels):,} images once with 2 workers: {seconds:.1f} s")
    return {"memory": memory, **streams}


def settings(image_size: int, crop: str) -> Data:
    """Batches of 128, cropped and mirrored."""
    return composed(
        ["data=imagenet_subset", f"data.image_size={image_size}", f"data.crop={crop}"]
    ).data


def epoch_rate(images: Images, data: Data, epoch: int) -> float:
    """Images per second over one epoch of batches."""
    batches = TrainingBatches(images, data, seed=0, epoch=epoch)
    start = time.perf_counter()
    num_images = sum(len(labels) for _, labels, _ in batches)
    return num_images / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
