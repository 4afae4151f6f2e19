"""Segmenters of torchvision on scenes with masks: a plain loop, and the mean IoU.

Shapes: B batch, H height, W width, C classes, the background included.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex

from senet_train.data.shapes import Scene
from senet_train.keyed import forked_random, keyed_permutation

BATCH_SIZE = 16


def train(
    model: nn.Module, scenes: list[Scene], *, num_epochs: int, lr: float = 2e-3, seed: int = 0
) -> None:
    """AdamW under a one-cycle schedule; the order of the scenes and dropout hang on the seed alone.

    `model` maps images (B, 3, H, W) to {"out": logits (B, C, H, W)}. Scenes that fill no batch are
    left out of the epoch.
    """
    images, classes = stacked(scenes)
    steps_an_epoch = len(scenes) // BATCH_SIZE
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, num_epochs * steps_an_epoch)
    model.train()
    for epoch in range(num_epochs):
        order = keyed_permutation(len(scenes), "order", seed, epoch)
        for step, batch in enumerate(order.split(BATCH_SIZE)[:steps_an_epoch]):
            optimizer.zero_grad()
            with forked_random("dropout", seed, epoch, step):
                logits = model(images[batch])["out"]
            F.cross_entropy(logits, classes[batch]).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def mean_iou(model: nn.Module, scenes: list[Scene], num_classes: int) -> float:
    """Intersection over union of each class over all pixels, averaged over classes."""
    metric = MulticlassJaccardIndex(num_classes)
    model.eval()
    for images, classes in zip(*(part.split(BATCH_SIZE) for part in stacked(scenes)), strict=True):
        metric.update(model(images)["out"].argmax(1), classes)
    return float(metric.compute())


def stacked(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) from -1 to 1, and the class of every pixel (B, H, W)."""
    pixels = torch.stack([scene.pixels for scene in scenes])
    classes = torch.stack([scene.classes() for scene in scenes])
    return pixels.permute(0, 3, 1, 2) / 127.5 - 1, classes
