"""Images/s of our training batches from a folder, beside timm's loader with the same transforms.

    uv run scripts/measure_timm_loader.py DIR [--image-size 128] [--workers 2] [--rounds 5]

Both read and decode the files of DIR/train in every epoch, crop at random (8 to 100 % of the area),
mirror half of them, apply RandAugment (two operations of magnitude 9), mix batches of 64 by MixUp
and give them normalised in float32. They take turns, each with so many workers, which stay between
epochs. This process has as many threads as cores are left, at least one: threads of OpenMP that
wait for the next batch spin, and would take the workers' cores. timm's operations are PIL's, ours
torchvision's of uint8 tensors; `p1.0` has timm apply each operation that it draws, of which it
leaves out half unless told otherwise.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from timm.data import Mixup, create_dataset, create_loader

from senet_train.config.compose import composed
from senet_train.data.find import find_data
from senet_train.data.images import FileImages
from senet_train.data.loaders import TrainingBatches
from senet_train.runs.environment import cpu_name
from senet_train.system.memory import disable_malloc_trim

BATCH = 64
Epoch = Callable[[int], int]  # its number -> how many images it gave


def main() -> None:
    """Print a line each: median images/s and range, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    disable_malloc_trim()  # as a run does, before any worker is started
    size, workers = arguments.image_size, arguments.workers
    torch.set_num_threads(max(torch.get_num_threads() - workers, 1))
    images, ours = by_us(arguments.root, size, workers)
    ways = {"senet-train": ours, "timm": by_timm(arguments.root, size, workers)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with images.reader.kept():
        for epoch in range(arguments.rounds + 1):
            for name, run in ways.items():
                start = time.perf_counter()
                given = run(epoch)
                if epoch:  # the first round starts the workers and warms up the page cache
                    rates[name].append(given / (time.perf_counter() - start))
    print(f"{cpu_name()}, {workers} workers, torch {torch.__version__}, {size} px")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"{name:12s} {middle:7,.0f} images/s ({min(values):,.0f} to {max(values):,.0f})")
    us, them = (statistics.median(values) for values in rates.values())
    print(f"ratio {us / them:.2f}")


def by_us(root: str, size: int, workers: int) -> tuple[FileImages, Epoch]:
    """The images of the folder, and an epoch of their batches."""
    words = ["data=imagenet_subset", f"data.root={root}", f"data.image_size={size}"]
    words += ["data.crop=resized", "data.augment=[randaugment]", "data.mixup=0.2"]
    words += [f"data.batch_size={BATCH}", f"data.workers={workers}", "data.num_classes=10"]
    source, data = find_data(composed(words).data)
    images, _ = source.load()
    assert isinstance(images, FileImages)

    def run(epoch: int) -> int:
        return sum(len(batch[0]) for batch in TrainingBatches(images, data, seed=0, epoch=epoch))

    return images, run


def by_timm(root: str, size: int, workers: int) -> Epoch:
    """An epoch of timm's loader; its prefetcher is for GPUs."""
    dataset = create_dataset("", root=root, split="train")
    loader = create_loader(
        dataset,
        input_size=(3, size, size),
        batch_size=BATCH,
        is_training=True,
        auto_augment="rand-m9-n2-p1.0",
        interpolation="bilinear",
        num_workers=workers,
        use_prefetcher=False,
        persistent_workers=True,
    )
    mix = Mixup(mixup_alpha=0.2, num_classes=len(dataset.reader.class_to_idx))

    def run(epoch: int) -> int:
        given = 0
        for images, labels in loader:
            mixed, _ = mix(images, labels)
            given += len(mixed)
        return given

    return run


if __name__ == "__main__":
    main()
