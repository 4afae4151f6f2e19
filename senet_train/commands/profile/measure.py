"""The profiles of several networks: counts, bytes kept for backward, times measured in turn.

Shapes: B batch, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from senet_train.commands.profile.counts import (
    MORE,
    AttentionOperations,
    Points,
    insertion_points_of,
    saved_bytes_per_image,
)
from senet_train.commands.profile.networks import Built, NetworkSpec, build
from senet_train.config.image_size import ImageSize, height_width
from senet_train.config.schema import Precision
from senet_train.errors import CannotExist, OutOfMemory, counted
from senet_train.keyed import keyed_generator
from senet_train.networks.cost import NetworkCost
from senet_train.networks.hardware import autocast
from senet_train.networks.stopwatch import added_time, compare_times, milliseconds
from senet_train.runs.record import median_and_quartiles
from senet_train.system.console import say
from senet_train.system.memory import disable_malloc_trim, explain_out_of_memory


@dataclass(frozen=True)
class Quartiles:
    """The median of several measurements, the quartiles, and how many they were."""

    median: float
    lower: float
    upper: float
    num: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        """Of at least one value."""
        median, (lower, upper) = median_and_quartiles(values)
        return cls(median, lower, upper, len(values))


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one forward pass; `share` is what attention adds to those without it.

    A fraction, see `added_time`; None for a network without attention.
    """

    precision: str
    batch_size: int
    milliseconds: Quartiles
    share: Quartiles | None


@dataclass(frozen=True)
class Profile:
    """The profile of one network. Bytes are for one image, in training.

    `plain_activation_bytes` is that of the same network without attention; `own_attention` is the
    number of attention modules that the network itself had, which were taken out.
    """

    words: str
    label: str
    image_size: ImageSize
    num_classes: int
    kernel: str
    cost: NetworkCost
    operations: AttentionOperations
    points: list[Points]
    activation_bytes: int
    plain_activation_bytes: int
    timings: list[Timing]
    own_attention: int


def measure(
    asked: Sequence[tuple[str, NetworkSpec]],
    device: torch.device,
    precisions: Sequence[Precision],
    batch_sizes: Sequence[int],
) -> list[Profile]:
    """One profile for each of `asked`, the words and the network. Raises InputError.

    Every network is measured beside the one without attention, which is built if it is not asked
    for. One of several that cannot exist is skipped, as in a sweep.
    """
    disable_malloc_trim()  # as a run does: else the system hands out every page anew
    every: list[Built] = []
    for words, spec in asked:
        try:
            every += [build(each, device) for each in missing(spec, every)]
        except CannotExist as error:
            if len(asked) == 1:
                raise
            say(f"skipped: {words}: {error}", to_error=True)
    kept = [activation_bytes(built, device, precisions[-1]) for built in every]
    timings: list[list[Timing]] = [[] for _ in every]
    for precision in precisions:
        for batch_size in batch_sizes:
            found = time_networks(every, device, precision, batch_size)
            timings = [own + more for own, more in zip(timings, found, strict=True)]
    return [
        profile(
            words, every[i], kept[i], kept[built_index(spec.without_attention(), every)], timings[i]
        )
        for words, spec in asked
        if spec in [built.spec for built in every]
        for i in [built_index(spec, every)]
    ]


def missing(spec: NetworkSpec, every: Sequence[Built]) -> list[NetworkSpec]:
    """The network and the one without attention, as far as they are not built yet."""
    present = [built.spec for built in every]
    wanted = [spec, spec.without_attention()] if spec != spec.without_attention() else [spec]
    return [each for each in wanted if each not in present]


def profile(words: str, built: Built, kept: int, plain_kept: int, timings: list[Timing]) -> Profile:
    """The profile from its parts."""
    spec = built.spec
    return Profile(
        words=words,
        label=built.label,
        image_size=spec.image_size,
        num_classes=spec.num_classes,
        kernel=spec.kernel,
        cost=built.cost,
        operations=built.operations,
        points=insertion_points_of(built.slots),
        activation_bytes=kept,
        plain_activation_bytes=plain_kept,
        timings=timings,
        own_attention=built.own_attention,
    )


def images_for(
    built: Built, batch_size: int, device: torch.device, *, size: ImageSize
) -> torch.Tensor:
    """Normalised noise, (B, 3, H, W) of `size`, in the memory format of the network."""
    shape = (batch_size, 3, *height_width(size))
    batch = torch.randn(shape, generator=keyed_generator("profile", *shape)).to(device)
    channels_last = built.spec.channels_last
    return batch.contiguous(memory_format=torch.channels_last) if channels_last else batch


def activation_bytes(built: Built, device: torch.device, precision: Precision) -> int:
    """Bytes that one image of a training batch keeps for backward."""
    batch = images_for(built, MORE, device, size=built.spec.train_size)
    return saved_bytes_per_image(built.network, batch, partial(autocast, device, precision))


def time_networks(
    built: Sequence[Built], device: torch.device, precision: Precision, batch_size: int
) -> list[list[Timing]]:
    """One timing for each network, none of them if one is too large for the device."""
    say(f"measuring {name_of(precision)}, {counted(batch_size, 'image')}", to_error=True)
    for each in built:
        each.network.eval()

    def forward(each: Built, batch: torch.Tensor) -> None:
        with torch.inference_mode(), autocast(device, precision):
            each.network(batch)

    try:
        with explain_out_of_memory(batch_size):
            batches = [
                images_for(each, batch_size, device, size=each.spec.image_size) for each in built
            ]
            passes = [partial(forward, *pair) for pair in zip(built, batches, strict=True)]
            times = compare_times([partial(milliseconds, one_pass, device) for one_pass in passes])
    except OutOfMemory:
        say(f"{counted(batch_size, 'image')}: too much for the memory, left out", to_error=True)
        return [[] for _ in built]
    plain = [built_index(each.spec.without_attention(), built) for each in built]
    shares = [Quartiles.of(added_time(own, times[i])) for own, i in zip(times, plain, strict=True)]
    return [
        [
            Timing(
                name_of(precision),
                batch_size,
                Quartiles.of(own),
                share if each.slots else None,
            )
        ]
        for each, own, share in zip(built, times, shares, strict=True)
    ]


def built_index(spec: NetworkSpec, built: Sequence[Built]) -> int:
    """Where the network stands among those that were built."""
    return [each.spec for each in built].index(spec)


def name_of(precision: Precision) -> str:
    """`float32`, `bf16-mixed`."""
    return "float32" if precision == 32 else str(precision)
