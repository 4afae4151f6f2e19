"""One row in a process of its own: train some steps and print what they took, as JSON.

python row.py '{"loop": "bare", "workload": "resnet20", "attention": "se", "tail": "folded"}'
"""

import json
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import torch

from benchmarking.flags import Flags
from benchmarking.loops import LOOPS
from benchmarking.stopwatch import Enough, Stopwatch
from benchmarking.workload import build, counts, workload_of
from senet_train.system.memory import disable_malloc_trim
from senet_train.training.callbacks.speed import peak_memory_bytes, reset_peak_memory


def main() -> None:
    """Time the row that the argument describes."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    workload = workload_of(asked["workload"], asked.get("changes", {}))
    network = build(workload, asked["attention"], asked["tail"])
    parameters, multiply_adds = counts(network, workload.image_size)
    flags = Flags(**asked.get("flags", {}))
    stopwatch = Stopwatch(workload.steps_on(flags.device), flags.device)
    torch.manual_seed(0)
    reset_peak_memory()  # a process inherits its parent's
    if asked["loop"] == "bare":  # the limit has all that senet-train has
        disable_malloc_trim()
    with suppress(Enough):
        import_module(LOOPS[asked["loop"]]).train(network, workload, flags, stopwatch.tick)
    answer = {
        "images_per_second": workload.batch_size / stopwatch.seconds_per_step(),
        "peak_memory_bytes": peak_memory_bytes(torch.device(flags.device)),
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
