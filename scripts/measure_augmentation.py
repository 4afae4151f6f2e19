"""Images/s of our augmentation of batches in memory, beside torchvision's way, image by image.

    uv run scripts/measure_augmentation.py [--image-size 32] [--images 2048] [--rounds 5]

Both get the same uint8 images in memory and give normalised batches of 128, in this process. They
take turns. Theirs is a Compose of torchvision.transforms.v2 for each image, stacked, and MixUp or
CutMix of the batch.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torchvision.transforms import v2

from senet_train.config.compose import composed
from senet_train.config.schema import Choice, Data
from senet_train.data.images import MemoryImages
from senet_train.data.loaders import TrainingBatches
from senet_train.data.policies import resolve_augment
from senet_train.runs.environment import cpu_name
from senet_train.system.memory import disable_malloc_trim

SMOOTH = v2.InterpolationMode.BILINEAR
# Way -> entries of data.augment, and torchvision's transforms of the same.
POLICIES = {
    "standard": ([], []),
    "randaugment": (["randaugment"], [v2.RandAugment(interpolation=SMOOTH)]),
    "trivial": (["trivial"], [v2.TrivialAugmentWide(interpolation=SMOOTH)]),
    "color_jitter": (["color_jitter"], [v2.ColorJitter(0.4, 0.4, 0.4)]),
}
Epoch = Callable[[int], None]


def main() -> None:
    """Print a table: way, median images/s of ours and of theirs, ranges, ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    disable_malloc_trim()  # as a run does: else the system hands out every page of a batch anew
    side, number = arguments.image_size, arguments.images
    data = settings(side)
    images = pictures(number, side)
    ways: dict[str, tuple[Epoch, Epoch]] = {}
    for name, (ours, theirs) in POLICIES.items():
        for mixed in (False, True):
            title = f"{name}, mixed" if mixed else name
            ways[title] = (by_us(images, data, ours, mixed), by_them(images, data, theirs, mixed))
    rates: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    for epoch in range(arguments.rounds + 1):
        for name, pair in ways.items():
            for found, run in zip(rates[name], pair, strict=True):
                start = time.perf_counter()
                run(epoch)
                if epoch:  # the first round warms up
                    found.append(number // 128 * 128 / (time.perf_counter() - start))
    print(f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{side} px, {arguments.rounds} rounds: median images/s (range), ours and torchvision's")
    for name, (us, them) in rates.items():
        ratio = statistics.median(us) / statistics.median(them)
        print(f"{name:22s} {spread(us)} {spread(them)} {ratio:6.2f}")


def spread(values: list[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(values):9,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def settings(side: int) -> Data:
    """Batches of 128, shifted by 4 and mirrored."""
    words = ["data=fake", f"data.image_size={side}", "data.batch_size=128", "data.num_classes=10"]
    return composed(words).data


def pictures(number: int, side: int) -> MemoryImages:
    """Seeded ramps of colour with noise: nothing that an operation would find flat."""
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(30, 200, side)
    noise = torch.randint(0, 50, (number, side, side, 3), generator=generator)
    pixels = (noise + ramp[:, None, None]).to(torch.uint8)
    return MemoryImages(pixels, torch.arange(number) % 10, [""] * number)


def by_us(images: MemoryImages, data: Data, names: list[str], mixed: bool) -> Epoch:
    """An epoch of TrainingBatches."""
    if names:
        data = resolve_augment(replace(data, augment=[Choice(name) for name in names]))
    if mixed:
        data = replace(data, mixup=0.2, cutmix=1.0)

    def run(epoch: int) -> None:
        for _ in TrainingBatches(images, data, seed=0, epoch=epoch):
            pass

    return run


def by_them(images: MemoryImages, data: Data, transforms: list[v2.Transform], mixed: bool) -> Epoch:
    """An epoch of torchvision's transforms, image by image."""
    one = v2.Compose(
        [
            v2.RandomCrop(data.image_size, padding=data.padding),
            v2.RandomHorizontalFlip(),
            *transforms,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(data.mean, data.std),
        ]
    )
    pair = v2.RandomChoice(
        [v2.MixUp(alpha=0.2, num_classes=10), v2.CutMix(alpha=1.0, num_classes=10)]
    )
    planes = images.pixels.permute(0, 3, 1, 2).contiguous()

    def run(epoch: int) -> None:
        order = torch.randperm(len(planes), generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(128)[: len(planes) // 128]:
            batch = torch.stack([one(planes[i]) for i in rows.tolist()])
            if mixed:
                pair(batch, images.labels[rows])

    return run


if __name__ == "__main__":
    main()
