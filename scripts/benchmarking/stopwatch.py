"""Time the steps of a loop that somebody else runs."""

import statistics
import time
from itertools import pairwise

import torch

WARM_UP_STEPS = 2


class Enough(Exception):
    """All steps are timed."""


class Stopwatch:
    """Seconds of every step after those that warm up; raises Enough after `steps` of them."""

    def __init__(self, steps: int, *, cuda: bool) -> None:
        self.wanted, self.cuda = WARM_UP_STEPS + steps, cuda
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step is done. A GPU is waited for only at the edges: its steps may overlap."""
        edge = len(self.ends) + 1 in (WARM_UP_STEPS, self.wanted)
        if self.cuda and edge:
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        if len(self.ends) >= self.wanted:
            raise Enough

    def seconds_per_step(self) -> float:
        """The median of the timed steps; on a GPU their mean."""
        ends = self.ends[WARM_UP_STEPS - 1 :]
        if self.cuda:
            return (ends[-1] - ends[0]) / (len(ends) - 1)
        return statistics.median(b - a for a, b in pairwise(ends))
