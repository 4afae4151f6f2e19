"""What a command takes besides training: to start, to go on to the next run, to compare."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarking.processes import SENET_TRAIN, arguments, run, scratch, seconds
from benchmarking.rounds import interleaved, ratio, spread
from benchmarking.workload import WORKLOADS

STUDY = Path(__file__).parents[2] / "docs" / "evidence" / "studies" / "cifar10_jpeg_3_epochs"
NUM_RECORDS = 1000

FIRST_STEP = """
import os
from senet_train.training.callbacks.speed import SpeedMeter
SpeedMeter.on_train_batch_end = lambda *arguments: os._exit(0)
from senet_train.cli import entry
entry()
"""

# Prints the seconds from each run's end to the next one's first step, of which the last is one.
FURTHER_RUNS = """
import statistics, sys, time
import senet_train.training.run as runs
from senet_train.training.callbacks.speed import SpeedMeter
marks, told, show = [], SpeedMeter.on_train_batch_end, runs.print_summary
def first_step(self, trainer, module, outputs, batch, batch_idx):
    if batch_idx == 0:
        marks.append(time.perf_counter())
    told(self, trainer, module, outputs, batch, batch_idx)
def end(*arguments):
    show(*arguments)
    marks.append(time.perf_counter())
SpeedMeter.on_train_batch_end, runs.print_summary = first_step, end
from senet_train.cli import main
main(sys.argv[1:])
print(statistics.median(b - a for a, b in zip(marks[1::2], marks[2::2])))
"""


def start_up(rounds: int) -> Iterator[str]:
    """From the command line to the first step, against importing Lightning alone; and the rest."""
    workload = WORKLOADS["resnet20"]
    with scratch() as folder:
        asked = [*arguments(workload, "se", 2, 1), f"output_dir={folder}", "overwrite=true"]
        records = write_records(folder / "records")
        first, lightning, help_, further, compare = interleaved(
            rounds,
            lambda: seconds([sys.executable, "-c", FIRST_STEP, *asked]),
            lambda: seconds([sys.executable, "-c", "import pytorch_lightning"]),
            lambda: seconds([str(SENET_TRAIN), "--help"]),
            lambda: further_run([*asked, "seed=0,1,2,3", "hydra/launcher=basic"]),
            lambda: seconds([str(SENET_TRAIN.with_name("senet-compare")), str(records)]),
        )
    yield "\n## Start-up\n\n| what | seconds |\n| :-- | --: |\n"
    yield f"| senet-train to the end of its first step (ResNet-20) | {spread(first, 2)} |\n"
    yield f"| python -c 'import pytorch_lightning' | {spread(lightning, 2)} |\n"
    yield f"| the first over the second | {ratio(first, lightning)} |\n"
    yield f"| a sweep, from a run's end to the next one's first step | {spread(further, 2)} |\n"
    yield f"| senet-train --help | {spread(help_, 2)} |\n"
    yield f"| senet-compare on {NUM_RECORDS:,} records of 10,000 images | {spread(compare, 2)} |\n"


def further_run(asked: list[str]) -> float:
    """Seconds from a run's end to the end of the next one's first step, in one sweep."""
    output = run([sys.executable, "-c", FURTHER_RUNS, "-m", *asked])
    return float(output.splitlines()[-1])


def write_records(folder: Path) -> Path:
    """A study of the documentation, its runs repeated under new seeds."""
    arms = sorted(STUDY.iterdir())
    for number in range(NUM_RECORDS):
        arm, seed = arms[number % len(arms)], number // len(arms)
        target = folder / arm.name / f"seed{seed}"
        shutil.copytree(arm / f"seed{seed % 5}", target)
        record = json.loads((target / "result.json").read_text())
        record["seed"] = record["config"]["seed"] = seed
        (target / "result.json").write_text(json.dumps(record, indent=2))
    return folder


def whole_process(rounds: int) -> Iterator[str]:
    """Wall time of the command with 1 and 3 epochs: what starting costs, and what an epoch."""
    workload = WORKLOADS["resnet20"]

    def wall(epochs: int) -> float:
        with scratch() as folder:
            asked = [*arguments(workload, "se", 20, epochs), f"output_dir={folder}"]
            return seconds([str(SENET_TRAIN), *asked])

    one, three = interleaved(rounds, lambda: wall(1), lambda: wall(3))
    epoch = [(b - a) / 2 for a, b in zip(one, three, strict=True)]
    rest = [a - e for a, e in zip(one, epoch, strict=True)]
    yield "\n## A whole process\n\nSE-ResNet-20, epochs of 20 steps of 128 images and 284 for "
    yield f"validation: an epoch takes {spread(epoch, 2)} s; start, test, latencies and files "
    yield f"{spread(rest, 2)} s.\n"
