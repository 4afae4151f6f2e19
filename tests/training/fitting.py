"""A small network trained on 32 images by our Trainer, without a plan and a folder of a run."""

import dataclasses
from pathlib import Path

import torch
from support import DATA, OPTIM
from torch import nn

from senet_train.config.schema import Data, Optim
from senet_train.config.schema import Trainer as TrainerConfig
from senet_train.data.images import MemoryImages
from senet_train.data.loaders import Splits
from senet_train.training.callbacks.speed import SpeedMeter
from senet_train.training.data_module import DataModule
from senet_train.training.fit import build_trainer
from senet_train.training.schedule import constant
from senet_train.training.tasks.classification import ImageClassifier

TRAINER = TrainerConfig(
    max_epochs=2,
    precision=32,
    deterministic=False,
    channels_last=True,
    kernel="composed",
    ema_decay="none",
    clip_norm="none",
    accelerator="cpu",
    devices=1,
    checkpoint_minutes=10,
)
PLAIN = dataclasses.replace(DATA, crop="none", flip=False, cutout=0, batch_size=8)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 64, 6)
    )


def images(number: int, seed: int = 0) -> MemoryImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (number, 8, 8, 3), dtype=torch.uint8, generator=generator)
    return MemoryImages(pixels, torch.arange(number) % 6, [str(i) for i in range(number)])


def fit(
    folder: Path,
    optim: Optim = OPTIM,
    network: nn.Module | None = None,
    settings: Data = PLAIN,
    start: Path | None = None,
    **trainer: object,
):
    """Train on 32 images, from a checkpoint if given; the module and the Trainer."""
    config = dataclasses.replace(TRAINER, **trainer)
    splits = Splits(images(32), images(13, seed=1), images(21, seed=2))
    data = DataModule(
        splits, settings, seed=0, channels_last=config.channels_last, accumulate=optim.accumulate
    )
    module = ImageClassifier(
        network or small_network(),
        optim,
        constant(),
        seed=0,
        max_epochs=config.max_epochs,
        steps_per_epoch=data.steps_per_epoch,
        num_classes=6,
        score=config.score,
    )
    module.see_training(splits.train.labels)
    made = build_trainer(config, folder, SpeedMeter(), [], {}, accumulate=optim.accumulate)
    made.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
    return module, made, data
