"""The time that attention layers add to a forward pass, measured with and without them in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from senet_train.backbones.slots import Backbone
from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.knockout import knockout_groups, removed, replaced
from senet_train.config.image_size import height_width
from senet_train.networks.stopwatch import added_time, compare_times, milliseconds
from senet_train.runs.record import median_and_quartiles
from senet_train.runs.trained.load import Trained

BATCH_SIZES = (1, 128)


@dataclass(frozen=True)
class AddedTime:
    """Milliseconds of one forward pass with every layer, and without the layers called `name`.

    Medians over rounds. `percent` is what the layers add, in percent of the time without them (see
    `added_time`, which senet-profile reports as well): lower quartile, median, upper quartile.
    """

    name: str
    batch_size: int
    with_ms: float
    without_ms: float
    percent: tuple[float, float, float]


def added_times(run: Trained, layers: Sequence[Layer], device: torch.device) -> list[AddedTime]:
    """Of each stage with several layers, and of all. Called under the autocast to measure in."""
    shape, groups = height_width(run.preprocess.image_size), knockout_groups(layers)
    wide = {name: chosen for name, chosen in groups.items() if len(chosen) > 1} or groups
    image = torch.zeros(1, 3, *shape, device=device)
    return [
        time_with_and_without(run.model, name, chosen, image.expand(batch_size, -1, -1, -1))
        for name, chosen in wide.items()
        for batch_size in BATCH_SIZES
    ]


def time_with_and_without(
    model: Backbone, name: str, layers: Sequence[Layer], images: Tensor
) -> AddedTime:
    """One group of layers at one batch size, (B, 3, H, W)."""
    images = images.contiguous(memory_format=torch.channels_last)
    forward = partial(milliseconds, partial(model, images), images.device)

    def forward_without() -> float:
        with replaced(model, layers, removed):  # taking the layers out is not timed
            return forward()

    with_layers, without = compare_times([forward, forward_without])
    percent = [100 * fraction for fraction in added_time(with_layers, without)]
    median, (low, high) = median_and_quartiles(percent)
    return AddedTime(
        name=name,
        batch_size=len(images),
        with_ms=median_and_quartiles(with_layers)[0],
        without_ms=median_and_quartiles(without)[0],
        percent=(low, median, high),
    )
