"""Where data lie: a whole set on the device, if it fits, or batch by batch on the way there.

On the CPU nothing is moved. To a GPU a tensor goes from pinned memory, so that the host does not
wait for the copy. What is random is drawn on the host: a GPU's generator has other numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

MOST_OF_FREE_MEMORY = 1 / 4  # that a data set may take: the rest is for training


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; the host does not wait for the copy, unless to Apple's GPU.

    Copies to that which are not waited for have been wrong: https://github.com/pytorch/pytorch/issues/83015.
    """
    if tensor.device.type == device.type:
        return tensor
    if device.type == "mps":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def all_to_device(tensors: Any, device: torch.device) -> Any:
    """Every tensor in lists, tuples and dicts on the device."""
    return tree_map(lambda leaf: to_device(leaf, device), tensors)


def free_bytes(device: torch.device) -> int:
    """The free memory of a GPU."""
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return torch.cuda.mem_get_info(device)[0]


def fits(num_bytes: int, device: torch.device) -> bool:
    """Whether data of so many bytes may lie on the device."""
    return device.type == "cpu" or num_bytes <= MOST_OF_FREE_MEMORY * free_bytes(device)


@dataclass(frozen=True)
class Rows:
    """Which images are in a batch, and how each is augmented, on the host and on the device."""

    indices: Tensor  # (B,) int64
    draws: Tensor  # (B, NUM_DRAWS), or (B, 0) where nothing is augmented
    indices_there: Tensor  # the same on the device
    draws_there: Tensor

    def indices_on(self, device: torch.device) -> Tensor:
        """The indices, on the host or where the images are augmented."""
        return self.indices if device.type == "cpu" else self.indices_there


def rows_of(batches: Sequence[Tensor], draws: Tensor, device: torch.device) -> list[Rows]:
    """The rows of each batch of indices (B,), from the draws of all images (N, NUM_DRAWS).

    They are moved to the device here, all at once.
    """
    if not batches:
        return []
    sizes = [len(batch) for batch in batches]
    order = torch.cat(list(batches))
    ordered = draws[order]
    there = to_device(order, device).split(sizes), to_device(ordered, device).split(sizes)
    return [Rows(*row) for row in zip(batches, ordered.split(sizes), *there, strict=True)]
