"""SE's price in one process: networks with and without SE take turns, a step each.

python turns.py '{"workload": "resnet20"}' prints milliseconds of a step, as JSON.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

from benchmarking.flags import Flags, own_precision
from benchmarking.loops import bare
from benchmarking.stopwatch import WARM_UP_STEPS
from benchmarking.workload import WORKLOADS, Workload, build
from senet_train.system.memory import disable_malloc_trim

# Without SE there is nothing to join: that net is the composed one.
NETWORKS = [
    ("folded", "none"),
    ("folded", "se"),
    ("composed", "none"),
    ("joined", "se"),
    ("composed", "se"),
]
FLAGS = Flags(precision=own_precision("cpu"), channels_last=True, fused=True)


def main() -> None:
    """Time every network's steps, in turn."""
    workload = WORKLOADS[json.loads(sys.argv[1])["workload"]]
    disable_malloc_trim()
    torch.manual_seed(0)
    steps = {f"{tail}, {kind}": step_of(workload, tail, kind) for tail, kind in NETWORKS}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM_UP_STEPS + 2 * workload.steps):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(1000 * (time.perf_counter() - start))
    print(json.dumps({name: statistics.median(ms[WARM_UP_STEPS:]) for name, ms in times.items()}))


def step_of(workload: Workload, tail: str, attention: str) -> Callable[[], None]:
    """One step of the bare loop at each call."""
    steps = bare.steps(build(workload, attention, tail), workload, FLAGS)
    return lambda: next(steps)


if __name__ == "__main__":
    main()
