"""One row in a process of its own: train some steps and print what they took, as JSON.

python row.py '{"loop": "bare", "workload": "resnet20", "attention": "se", "tail": "folded"}'
"""

import json
import resource
import statistics
import sys
import time
from itertools import pairwise
from typing import Any

import torch

from benchmarking.loops import LOOPS, Flags, lightning
from benchmarking.workload import WORKLOADS, build, counts
from senet_train.memory import keep_freed_memory

WARM_UP_STEPS = 2


class Enough(Exception):
    """All steps are timed."""


class Stopwatch:
    """Seconds of every step after those that warm up; raises Enough after `steps` of them."""

    def __init__(self, steps: int) -> None:
        self.wanted = WARM_UP_STEPS + steps
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step is done."""
        self.ends.append(time.perf_counter())
        if len(self.ends) >= self.wanted:
            raise Enough

    def median(self) -> float:
        """The median of the timed steps."""
        ends = self.ends[WARM_UP_STEPS - 1 :]
        return statistics.median(b - a for a, b in pairwise(ends))


def main() -> None:
    """Time the row that the argument describes."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    workload = WORKLOADS[asked["workload"]]
    network = build(workload, asked["attention"], asked["tail"])
    parameters, multiply_adds = counts(network, workload.image_size)
    flags = Flags(**asked.get("flags", {}))
    stopwatch = Stopwatch(workload.steps)
    torch.manual_seed(0)
    if asked["loop"] == "bare":  # the limit has all that senet-train has
        keep_freed_memory()
    try:
        if asked["loop"] == "lightning":
            lightning(network, workload, flags, stopwatch.tick)
        else:
            for _ in LOOPS[asked["loop"]](network, workload, flags):
                stopwatch.tick()
    except Enough:
        pass
    answer = {
        "images_per_second": workload.batch_size / stopwatch.median(),
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
