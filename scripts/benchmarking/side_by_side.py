"""A folder read each epoch or held in memory; two runs at once or one after the other."""

from collections.abc import Iterator
from pathlib import Path

from benchmarking.pictures import write_folder
from benchmarking.processes import (
    SENET_TRAIN,
    Measured,
    arguments,
    run_command_with,
    scratch,
    seconds,
)
from benchmarking.rounds import interleaved, ratio, spread
from benchmarking.workload import WORKLOADS, Workload


def streaming(rounds: int) -> Iterator[str]:
    """A folder of 128 px pictures, held in memory and read each epoch."""
    workload = WORKLOADS["resnet18_128"]
    with scratch() as folder:
        write_folder(folder / "pictures", workload)
        shared = ["data=imagenet_subset", f"data.root={folder / 'pictures'}", "data.crop=pad"]

        def rate(cache: str) -> float:
            extra = [*shared, f"data.cache={cache}", "overwrite=true"]
            return run_folder(workload, folder, *extra).images_per_second

        stream, memory = interleaved(rounds, lambda: rate("stream"), lambda: rate("memory"))
    yield f"\n## Reading a folder\n\n{workload.title} with SE, JPEG files. In memory "
    yield f"{spread(memory)} images/s, streamed {spread(stream)}: {ratio(stream, memory)} x.\n"


def run_folder(workload: Workload, folder: Path, *extra: str) -> Measured:
    """senet-train on a folder of pictures."""
    fake = ("data=", "data.num_images=", "data.num_test_images=")
    base = arguments(workload, "se", 0, epochs=2)
    kept = [argument for argument in base if not argument.startswith(fake)]
    return run_command_with(folder / "outputs", [*kept, *extra])


NUM_RUNS = 6


def sweep(rounds: int) -> Iterator[str]:
    """A sweep with two runs at once, a thread each, and with one after the other, two threads."""
    workload = WORKLOADS["resnet20"]

    def train(jobs: int) -> float:
        with scratch() as folder:
            asked = [*arguments(workload, "se", 20, 3), f"output_dir={folder}"]
            asked = [word for word in asked if not word.startswith("seed=")]
            launcher = [f"seeds={NUM_RUNS}", f"hydra.launcher.jobs={jobs}"]
            return seconds([str(SENET_TRAIN), *asked, *launcher])

    together, in_turn = interleaved(rounds, lambda: train(2), lambda: train(1))
    yield f"\n## A sweep\n\nSE-ResNet-20, {NUM_RUNS} runs of 3 epochs of 20 steps, the whole "
    yield f"command. Two at once with one thread each {spread(together, 1)} s; one after the other "
    yield f"with two threads {spread(in_turn, 1)} s: {ratio(in_turn, together)} x the runs an "
    yield "hour.\n"
