"""The time that a forward pass takes less without attention, measured turn by turn."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from senet_train.backbones.slots import Backbone
from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.knockout import groups_of, removed, replaced
from senet_train.runs.trained.load import Trained

BATCH_SIZES = (1, 128)
ROUNDS = 21  # of turns with and without; one of each before them warms up


@dataclass(frozen=True)
class Saving:
    """Milliseconds of one forward pass with everything, and without the layers called `name`.

    Medians; `share` is the part saved in a round, in percent: lower quartile, median, upper.
    """

    name: str
    batch_size: int
    whole_ms: float
    without_ms: float
    share: tuple[float, float, float]


def savings(run: Trained, layers: Sequence[Layer], device: torch.device) -> list[Saving]:
    """What each stage and all of them take. Called under the autocast to measure in."""
    size, groups = run.config.data.image_size, groups_of(layers)
    wide = {name: chosen for name, chosen in groups.items() if len(chosen) > 1} or groups
    return [
        measure(run.model, name, chosen, image.expand(batch_size, -1, -1, -1))
        for name, chosen in wide.items()
        for batch_size in BATCH_SIZES
        for image in [torch.zeros(1, 3, size, size, device=device)]
    ]


def measure(model: Backbone, name: str, layers: Sequence[Layer], images: Tensor) -> Saving:
    """One group at one batch size, (B, 3, H, W): with and without by turns."""
    images = images.contiguous(memory_format=torch.channels_last)
    whole, without = [], []
    for _ in range(ROUNDS + 1):
        whole.append(milliseconds(model, images))
        with replaced(model, layers, removed):
            without.append(milliseconds(model, images))
    whole, without = whole[1:], without[1:]
    shares = [100 * (a - b) / a for a, b in zip(whole, without, strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4, method="inclusive")
    return Saving(
        name,
        len(images),
        statistics.median(whole),
        statistics.median(without),
        (low, middle, high),
    )


def milliseconds(model: nn.Module, images: Tensor) -> float:
    """Of one forward pass, (B, 3, H, W)."""
    start = time.perf_counter()
    model(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return 1000 * (time.perf_counter() - start)
