"""Forward passes of several networks in turn, so that what slows one slows all.

Each round begins with another: A B, B A. Who comes first finds caches that another has filled.

Shapes: B batch, H = W = image_size.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from senet_train.speed import median_and_quartiles

LEAST_ROUNDS = 8
SECONDS = 1.0  # measured for each network, at each batch size and precision


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, the quartiles, and how many they were."""

    median: float
    lower: float
    upper: float
    num: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        median, (lower, upper) = median_and_quartiles(values)
        return cls(median, lower, upper, len(values))


def in_turn(functions: Sequence[Callable[[], object]], device: torch.device) -> list[list[float]]:
    """Milliseconds of each function's calls; the n-th of all were made in the n-th round."""
    for function in functions:
        timed(function, device)  # warms up
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + SECONDS * len(functions)
    while len(times[0]) < LEAST_ROUNDS or time.perf_counter() < end:
        first = len(times[0]) % len(functions)
        for i in (*range(first, len(functions)), *range(first)):
            times[i].append(timed(functions[i], device))
    return times


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call, until the device has done it."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


def share_of(times: Sequence[float], plain: Sequence[float]) -> Spread:
    """(t_with - t_without) / t_without of every round."""
    pairs = zip(times, plain, strict=True)
    return Spread.of([(own - without) / without for own, without in pairs])
