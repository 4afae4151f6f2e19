"""Layers that draw at random, in several processes: each draws for its part of the batch.

Ours draw for the whole batch and take their part, so that the number of processes changes nothing.
A layer of a library (`nn.Dropout`, say) draws for the images that it sees.
"""

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from senet_train.backbones.shake_shake import Mixing
from senet_train.backbones.wide_resnet import Dropout
from senet_train.config.image_size import ImageSize, height_width
from senet_train.training.distributed.world import world


def divide_draws(network: nn.Module) -> None:
    """Tell our random layers which part of the batch is this process's."""
    for module in network.modules():
        if isinstance(module, Dropout | Mixing):
            module.part, module.num_parts = world().rank, world().size


class CountDraws(TorchDispatchMode):
    """Counts the operations that take numbers from a random generator."""

    def __init__(self) -> None:
        super().__init__()
        self.draws = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.draws += torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


def draws_of_libraries(network: nn.Module, image_size: ImageSize) -> int:
    """How often a training step draws outside of our layers; `network` is on the meta device."""
    network.train()
    for module in network.modules():
        if isinstance(module, Dropout | Mixing):
            module.eval()
    with torch.no_grad(), CountDraws() as mode:
        network(torch.empty(2, 3, *height_width(image_size), device="meta"))
    return mode.draws
