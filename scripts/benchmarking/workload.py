"""What every row trains: the same network, batch, optimizer and images.

Shapes: B batch, H height, W width.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config.schema import Placement
from senet_train.networks.hardware import TAILS
from senet_train.networks.insertion import build_network

LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4  # of SGD with Nesterov's momentum, in every row
MEAN, STD = (0.5, 0.5, 0.5), (0.289, 0.289, 0.289)
NUM_CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """A network at an image size; `steps` are timed in every round on a CPU.

    Images are random ones in memory, or the pictures in `folder`.
    """

    title: str
    model: str
    ratio: int
    image_size: int
    steps: int
    batch_size: int = 128
    options: dict[str, str] = field(default_factory=dict)
    folder: str = ""

    def steps_on(self, device: str) -> int:
        """Those of a round: a GPU makes hundreds in the time of a few."""
        return self.steps if device == "cpu" else 50 * self.steps


WORKLOADS = {
    "resnet20": Workload("ResNet-20, 32 px", "resnet20", 4, 32, 12),
    "resnet18": Workload(
        "ResNet-18, CIFAR stem, 32 px", "resnet18", 16, 32, 3, options={"stem": "cifar"}
    ),
    "resnet18_128": Workload(
        "ResNet-18, 128 px", "resnet18", 16, 128, 3, options={"stem": "imagenet"}
    ),
}


RESNET50 = Workload(  # in no section but --quick on a GPU
    "ResNet-50, 224 px", "resnet50", 16, 224, 1, batch_size=64, options={"stem": "imagenet"}
)


def workload_of(name: str, changes: dict[str, Any]) -> Workload:
    """The workload of this name, with some of its fields changed."""
    return replace({**WORKLOADS, "resnet50": RESNET50}[name], **changes)


def build(workload: Workload, attention: str, tail: str) -> Backbone:
    """The network: the same weights and counts for every row and tail."""
    kind = ATTENTIONS[attention]
    network, _ = build_network(
        partial(BACKBONES[workload.model], **workload.options),
        partial(kind, ratio=workload.ratio) if attention == "se" else kind,
        Placement(stages="all", position="standard", min_channels=1),
        num_classes=NUM_CLASSES,
        seed=0,
    )
    network.use_tail(TAILS[tail])
    return network


def counts(network: nn.Module, image_size: int) -> tuple[int, int]:
    """Parameters, and multiply-adds of one image as torch's own counter has them."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    image = torch.zeros(1, 3, image_size, image_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(image)
    network.train()
    return parameters, counter.get_total_flops() // 2


def images_and_labels(workload: Workload, count: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Random images (count, H, W, 3) and labels: a timing learns nothing."""
    shape = (count, workload.image_size, workload.image_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return pixels, [i % NUM_CLASSES for i in range(count)]
