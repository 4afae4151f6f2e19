"""Timing of forward passes, and what attention adds to their time: one definition for every report.

Networks that are compared are timed in turn, pass by pass, so that a machine which slows down for a
while slows all of them.
"""

import time
from collections.abc import Callable, Sequence

import torch

LEAST_ROUNDS = 8
SECONDS = 1.0  # measured for each network of a comparison


def milliseconds(function: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call, until the device has finished its work."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return 1000 * (time.perf_counter() - start)


def compare_times(measures: Sequence[Callable[[], float]]) -> list[list[float]]:
    """The results of each measure: at least 8 rounds, and one second for each measure."""
    return in_turn(measures, LEAST_ROUNDS, SECONDS * len(measures))


def in_turn(
    measures: Sequence[Callable[[], float]], least_rounds: int, seconds: float
) -> list[list[float]]:
    """The results of each measure, all called once in every round; the n-th are of the n-th round.

    Each is called once before the first round, to warm up. Rounds go on until there are
    `least_rounds` of them and `seconds` have passed; the measures take turns in being first.
    """
    for measure in measures:
        measure()
    results: list[list[float]] = [[] for _ in measures]
    end = time.perf_counter() + seconds
    while len(results[0]) < least_rounds or time.perf_counter() < end:
        first = len(results[0]) % len(measures)
        for i in (*range(first, len(measures)), *range(first)):
            results[i].append(measures[i]())
    return results


def added_time(with_attention: Sequence[float], without: Sequence[float]) -> list[float]:
    """What attention adds, as a fraction of the time without it: (t_with - t_without) / t_without.

    One value for each round.
    """
    return [(own - plain) / plain for own, plain in zip(with_attention, without, strict=True)]
