"""A folder read each epoch or held in memory; two runs at once or one after the other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


def sweep(rounds: int) -> Iterator[str]:
    """Two runs at once with a thread each, against one after the other with two threads."""
    workload = WORKLOADS["resnet20"]

    def train(threads: int) -> float:
        with scratch() as folder:
            asked = [*arguments(workload, "se", 20, 3), f"output_dir={folder}"]
            return seconds([str(SENET_TRAIN), *asked], OMP_NUM_THREADS=str(threads))

    def at_once() -> float:
        with ThreadPoolExecutor(2) as pool:
            return max(pool.map(train, [1, 1]))

    together, in_turn = interleaved(rounds, at_once, lambda: train(2) + train(2))
    yield "\n## Two runs\n\nSE-ResNet-20, 3 epochs of 20 steps, whole processes. At once with one "
    yield f"thread each {spread(together, 1)} s; one after the other with two threads "
    yield f"{spread(in_turn, 1)} s: {ratio(in_turn, together)} x the runs an hour.\n"
