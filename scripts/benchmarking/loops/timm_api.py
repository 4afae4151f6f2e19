"""timm's loader, augmentation and optimizer as its train.py puts them together."""

from collections.abc import Callable

import timm.data
import timm.optim
import torch
from torch import nn
from torch.nn import functional as F

from benchmarking.flags import Flags
from benchmarking.pil_images import pictures
from benchmarking.workload import LR, MEAN, MOMENTUM, STD, WEIGHT_DECAY, Workload


def train(network: nn.Module, workload: Workload, flags: Flags, tell: Callable[[], None]) -> None:
    """As its train.py trains."""
    network = flags.prepare(network)
    size = workload.image_size
    loader = timm.data.create_loader(
        pictures(workload, flags.device),
        (3, size, size),
        workload.batch_size,
        is_training=True,
        scale=(0.08, 1.0) if workload.folder else (1.0, 1.0),
        ratio=(3 / 4, 4 / 3) if workload.folder else (1.0, 1.0),
        color_jitter=0.0,
        mean=MEAN,
        std=STD,
        num_workers=flags.workers,
        device=torch.device(flags.device),
        use_prefetcher=flags.device == "cuda",
    )
    optimizer = timm.optim.create_optimizer_v2(
        network, "sgd", LR, WEIGHT_DECAY, MOMENTUM, filter_bias_and_bn=False, fused=flags.fused
    )
    losses = 0.0
    while True:
        for images, labels in loader:
            images, labels = flags.lay_out(images, labels)
            with flags.autocast():
                loss = F.cross_entropy(network(images).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(labels)
            tell()
