"""Time the steps of a loop that somebody else runs."""

import statistics
import time
from itertools import pairwise

import torch

WARM_UP_STEPS = 2


class Enough(Exception):
    """All steps are timed."""


class Stopwatch:
    """Seconds of every step after those that warm up; raises Enough after `steps` of them.

    On a GPU a step that is asked for has not ended: it is waited for after the steps that warm up
    and after the last one, and the seconds between are shared by the steps.
    """

    def __init__(self, steps: int, device: str = "cpu") -> None:
        self.wanted, self.device = WARM_UP_STEPS + steps, device
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step is done, or asked for."""
        if self.device == "cuda" and len(self.ends) + 1 in (WARM_UP_STEPS, self.wanted):
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        if len(self.ends) >= self.wanted:
            raise Enough

    def seconds_per_step(self) -> float:
        """The median of the timed steps; on a GPU their mean."""
        ends = self.ends[WARM_UP_STEPS - 1 :]
        if self.device == "cuda":
            return (ends[-1] - ends[0]) / (len(ends) - 1)
        return statistics.median(b - a for a, b in pairwise(ends))
