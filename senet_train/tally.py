"""Sums over images, divided once: exact means however the images fell into batches."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from senet_train.agreement import total


@dataclass
class Tally:
    """What is counted of one part of the data: `sums` (num_sums,) float64, the images last.

    They are on the device of the first batch, and all that a run must save to go on counting;
    `mean_values` makes means of them, each by its name.
    """

    sums: Tensor
    mean_values: Callable[[Tensor], dict[str, float]]

    @property
    def num_images(self) -> int:
        """How many images were counted."""
        return int(self.sums[-1])

    def add(self, counts: Tensor) -> None:
        """Count one batch, (num_sums,)."""
        self.sums = self.sums.to(counts.device) + counts.double()

    def with_sums(self, sums: Tensor) -> "Tally":
        """Another of the same kind."""
        return replace(self, sums=sums)

    def of_all(self) -> "Tally":
        """What all processes counted; every one of them must ask."""
        return self.with_sums(total(self.sums))

    def reset(self) -> None:
        """Start anew."""
        self.sums = torch.zeros_like(self.sums)

    def means(self, part: str) -> dict[str, float]:
        """`{part}_loss` and its like over all images counted; then start anew."""
        means = {f"{part}_{name}": value for name, value in self.mean_values(self.sums).items()}
        self.reset()
        return means


def row_of(*counts: Tensor | float, device: torch.device) -> Tensor:
    """Scalars and tensors of counts one after the other, (num_sums,) float64."""
    parts = [torch.as_tensor(count).to(device, torch.float64).reshape(-1) for count in counts]
    return torch.cat(parts)
