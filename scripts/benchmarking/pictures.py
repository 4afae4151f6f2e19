"""A folder of JPEG pictures in ImageNet's layout, about as large and as smooth as photographs."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarking.workload import NUM_CLASSES, Workload

FEWEST = 4  # of a class: some of them validate
SIDE = 160  # imagenette's smaller edition has 160 px


def write_folder(folder: Path, workload: Workload, device: str = "cpu") -> None:
    """train/ and val/ with enough pictures for an epoch of the workload's steps."""
    steps = workload.steps_on(device) + 1
    per_class = max(-(-steps * workload.batch_size * 10 // 9 // NUM_CLASSES), FEWEST)
    random = np.random.default_rng(0)
    for part, count in (("train", per_class), ("val", 2)):
        for label in range(NUM_CLASSES):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True)
            for i in range(count):
                picture(random).save(place / f"{i}.jpg", quality=90)


def picture(random: np.random.Generator) -> Image.Image:
    """Smooth patches with some noise: some 9 kB as JPEG, as photographs of this size have."""
    coarse = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    noise = random.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))
