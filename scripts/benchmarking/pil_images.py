"""PIL images through a DataLoader: what every loop but ours and the bare one reads."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarking.stopwatch import WARM_UP_STEPS
from benchmarking.workload import MEAN, STD, Workload, images_and_labels

WORKERS = 2


class Pictures(Dataset[tuple[Any, int]]):
    """Arrays handed out as PIL images through a transform, as torchvision's CIFAR10 does."""

    def __init__(self, pixels: NDArray[np.uint8], labels: list[int]) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform: Callable[[Image.Image], Any] = transforms.Compose([])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def pictures(workload: Workload, device: str) -> Pictures:
    """Enough for a row to end within an epoch: nobody pays for starting workers."""
    num_batches = workload.steps_on(device) + 2 * WARM_UP_STEPS
    return Pictures(*images_and_labels(workload, num_batches * workload.batch_size))


def torchvision_loader(workload: Workload, device: str) -> DataLoader[Any]:
    """A random crop of the padded image, a flip, workers: the tutorial's loader."""
    data = pictures(workload, device)
    size, padding = workload.image_size, workload.image_size // 8
    data.transform = transforms.Compose(
        [
            transforms.RandomCrop(size, padding),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        data,
        workload.batch_size,
        shuffle=True,
        num_workers=WORKERS,
        drop_last=True,
        pin_memory=device == "cuda",
    )
