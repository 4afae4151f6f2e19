"""The training loops that are compared: each yields once a step, for ever.

Shapes: B batch, H height, W width.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import timm.data
import timm.optim
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarking.workload import (
    LR,
    MEAN,
    MOMENTUM,
    STD,
    WEIGHT_DECAY,
    Workload,
    images_and_labels,
)

WORKERS = 2


@dataclass(frozen=True)
class Flags:
    """What a loop can be asked for; the first of each is what most code has."""

    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        layout = "channels-last" if self.channels_last else "NCHW"
        return ", ".join([self.precision, layout, *(["torch.compile"] * self.compiled)])

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network in the layout asked for, compiled if asked."""
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)
        return torch.compile(network) if self.compiled else network  # type: ignore[return-value]

    def lay_out(self, images: Tensor) -> Tensor:
        """The images likewise."""
        if not self.channels_last:
            return images
        return images.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        """Mixed precision, or nothing."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16")


class Pictures(Dataset[tuple[Any, int]]):
    """Arrays handed out as PIL images through a transform, as torchvision's CIFAR10 does."""

    def __init__(self, pixels: NDArray[np.uint8], labels: list[int]) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform: Callable[[Image.Image], Any] = transforms.Compose([])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def sgd(network: nn.Module, *, fused: bool = False) -> torch.optim.Optimizer:
    """The optimizer of every row; `fused` is how senet-train has it."""
    return torch.optim.SGD(
        network.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True, fused=fused
    )


def pictures(workload: Workload) -> Pictures:
    """Some twenty batches of them."""
    return Pictures(*images_and_labels(workload, 20 * workload.batch_size))


def torchvision_loader(workload: Workload) -> DataLoader[Any]:
    """A random crop of the padded image, a flip, workers: the tutorial's loader."""
    data = pictures(workload)
    size, padding = workload.image_size, workload.image_size // 8
    data.transform = transforms.Compose(
        [
            transforms.RandomCrop(size, padding),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(data, workload.batch_size, shuffle=True, num_workers=WORKERS, drop_last=True)


def bare(network: nn.Module, workload: Workload, flags: Flags) -> Iterator[None]:
    """The limit: one batch that is already in memory, no accounts kept."""
    network, optimizer = flags.prepare(network), sgd(network, fused=True)
    size = workload.image_size
    images = flags.lay_out(torch.randn(workload.batch_size, 3, size, size))
    labels = torch.arange(workload.batch_size) % 10
    while True:
        with flags.autocast():
            loss = F.cross_entropy(network(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def plain_user(network: nn.Module, workload: Workload, flags: Flags) -> Iterator[None]:
    """The tutorial: DataLoader, PIL transforms, `.item()` every step."""
    network, optimizer, running = flags.prepare(network), sgd(network), 0.0
    while True:
        for images, labels in torchvision_loader(workload):
            optimizer.zero_grad()
            with flags.autocast():
                loss = F.cross_entropy(network(flags.lay_out(images)).float(), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            yield


def timm_api(network: nn.Module, workload: Workload, flags: Flags) -> Iterator[None]:
    """timm's loader, augmentation and optimizer as its train.py puts them together."""
    network = flags.prepare(network)
    size = workload.image_size
    loader = timm.data.create_loader(
        pictures(workload),  # type: ignore[arg-type]
        (3, size, size),
        workload.batch_size,
        is_training=True,
        scale=(1.0, 1.0),
        ratio=(1.0, 1.0),
        color_jitter=0.0,
        mean=MEAN,
        std=STD,
        num_workers=WORKERS,
        device=torch.device("cpu"),
        use_prefetcher=False,
    )
    optimizer = timm.optim.create_optimizer_v2(
        network, "sgd", LR, WEIGHT_DECAY, MOMENTUM, filter_bias_and_bn=False
    )
    losses = 0.0
    while True:
        for images, labels in loader:
            with flags.autocast():
                loss = F.cross_entropy(network(flags.lay_out(images)).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(labels)
            yield


class Template(pl.LightningModule):
    """What a Lightning tutorial writes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_top1", (logits.argmax(1) == labels).float().mean(), on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return sgd(self.network)


class Told(pl.Callback):
    """Calls back after every step: Lightning's loop is not ours to yield from."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.tell()


def lightning(
    network: nn.Module, workload: Workload, flags: Flags, tell: Callable[[], None]
) -> None:
    """The template's Trainer; it calls `tell` after every step until that raises."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        precision="bf16-mixed" if flags.precision == "bf16" else "32-true",
        callbacks=[Told(tell)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(Template(flags.prepare(network)), torchvision_loader(workload))


LOOPS = {"bare": bare, "plain user": plain_user, "timm": timm_api}
