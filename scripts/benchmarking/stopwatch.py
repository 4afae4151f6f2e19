"""Time the steps of a loop that somebody else runs."""

import statistics
import time
from itertools import pairwise

WARM_UP_STEPS = 2


class Enough(Exception):
    """All steps are timed."""


class Stopwatch:
    """Seconds of every step after those that warm up; raises Enough after `steps` of them."""

    def __init__(self, steps: int) -> None:
        self.wanted = WARM_UP_STEPS + steps
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step is done; on a GPU it is asked for, and waits its turn."""
        self.ends.append(time.perf_counter())
        if len(self.ends) >= self.wanted:
            raise Enough

    def median(self) -> float:
        """The median of the timed steps."""
        ends = self.ends[WARM_UP_STEPS - 1 :]
        return statistics.median(b - a for a, b in pairwise(ends))
