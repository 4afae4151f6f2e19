"""What a training loop can be asked for, and the optimizer that all of them use.

Shapes: B batch, H height, W width.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarking.workload import LR, MOMENTUM, WEIGHT_DECAY
from senet_train.networks.hardware import choose_precision


@dataclass(frozen=True)
class Flags:
    """What a loop can be asked for; the first of each is what most code has."""

    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    compiled: bool = False
    fused: bool = False  # the optimizer
    device: Literal["cpu", "cuda"] = "cpu"
    workers: int = 2  # that read images

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network on the device and in the layout asked for, compiled if asked."""
        network = network.to(self.device)
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)
        return torch.compile(network) if self.compiled else network  # type: ignore[return-value]

    def lay_out(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A batch likewise: images (B, 3, H, W), labels (B,)."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = images.to(self.device, memory_format=layout, non_blocking=True)
        return images, labels.to(self.device, non_blocking=True)

    def autocast(self) -> torch.autocast:
        """Mixed precision, or nothing."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


def own_precision(device: str) -> Literal["fp32", "bf16"]:
    """What senet-train chooses on this machine."""
    accelerator = "cpu" if device == "cpu" else "gpu"
    return "fp32" if choose_precision("auto", accelerator) == 32 else "bf16"


def sgd(network: nn.Module, flags: Flags) -> torch.optim.Optimizer:
    """The optimizer of every row."""
    return torch.optim.SGD(
        network.parameters(),
        LR,
        MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
        fused=flags.fused,
    )
