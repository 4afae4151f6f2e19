"""PIL images through a DataLoader: what every loop but ours and the bare one reads."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from benchmarking.flags import Flags
from benchmarking.stopwatch import WARM_UP_STEPS
from benchmarking.workload import MEAN, STD, Workload, images_and_labels


class Pictures(Dataset[tuple[Any, int]]):
    """Arrays handed out as PIL images through a transform, as torchvision's CIFAR10 does."""

    def __init__(self, pixels: NDArray[np.uint8], labels: list[int]) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform: Callable[[Image.Image], Any] = transforms.Compose([])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def pictures(workload: Workload, device: str) -> Any:
    """Those of the workload's folder; or random ones, enough for a row to end within an epoch.

    Nobody pays for starting workers.
    """
    if workload.folder:
        return datasets.ImageFolder(f"{workload.folder}/train")
    num_batches = workload.steps_on(device) + 2 * WARM_UP_STEPS
    return Pictures(*images_and_labels(workload, num_batches * workload.batch_size))


def torchvision_loader(workload: Workload, flags: Flags) -> DataLoader[Any]:
    """A random crop, of the padded image or of a file, a flip, workers: the tutorial's loader."""
    data = pictures(workload, flags.device)
    size, padding = workload.image_size, workload.image_size // 8
    padded, resized = transforms.RandomCrop(size, padding), transforms.RandomResizedCrop(size)
    data.transform = transforms.Compose(
        [
            resized if workload.folder else padded,
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        data,
        workload.batch_size,
        shuffle=True,
        num_workers=flags.workers,
        drop_last=True,
        pin_memory=flags.device == "cuda",
    )
