"""What the report holds: throughput, start-up, streaming, two runs at once. Markdown comes out."""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarking.pictures import write_folder
from benchmarking.processes import (
    SENET_TRAIN,
    Measured,
    arguments,
    run_command,
    run_command_with,
    run_row,
    scratch,
    seconds,
)
from benchmarking.workload import WORKLOADS, Workload

Row = Callable[[str], Measured]  # attention -> figures
FASTEST: dict[str, Any] = {"precision": "bf16", "channels_last": True}


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """A B A B: each measure's values over the rounds, after a round that warms up."""
    values = [[measure() for measure in measures] for _ in range(rounds + 1)]
    return [list(column) for column in zip(*values[1:], strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median (range)."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Median over rounds of value / other (range): both are of the same round."""
    return spread([a / b for a, b in zip(values, others, strict=True)], 2)


def best_flags(name: str) -> Iterator[str | dict[str, Any]]:
    """Lines of the grid over timm's flags, and last the flags that were fastest."""
    grid: list[dict[str, Any]] = [
        {"precision": precision, "channels_last": layout, "compiled": compiled}
        for compiled in (False, True)
        for precision in ("fp32", "bf16")
        for layout in (False, True)
    ]
    rates = []
    for flags in grid:
        found = run_row(name, loop="timm", attention="se", tail="composed", flags=flags)
        rates.append(found.images_per_second)
        words = f"{flags['precision']}, {'channels-last' if flags['channels_last'] else 'NCHW'}"
        yield f"| {words}{', torch.compile' * flags['compiled']} | {rates[-1]:,.0f} |"
    yield grid[rates.index(max(rates))]


def rows_of(name: str, workload: Workload, timm_flags: dict[str, Any]) -> dict[str, Row]:
    """Every way to train the workload."""

    def row(loop: str, tail: str = "composed", **flags: Any) -> Row:
        return lambda kind: run_row(name, loop=loop, attention=kind, tail=tail, flags=flags)

    return {
        "senet-train": lambda kind: run_command(workload, kind),
        "senet-train, kernel=composed": lambda kind: run_command(
            workload, kind, "trainer.kernel=composed"
        ),
        "bare loop, folded": row("bare", "folded", **FASTEST),
        "bare loop, composed": row("bare", **FASTEST),
        "plain user loop": row("plain user"),
        "timm, default": row("timm"),
        "timm, best flags": row("timm", **timm_flags),
        "Lightning template": row("lightning"),
    }


def throughput(name: str, rounds: int) -> Iterator[str]:
    """The table of one workload."""
    workload = WORKLOADS[name]
    yield f"\n### {workload.title}, batch {workload.batch_size}\n\n"
    yield "timm's flags, with SE:\n\n| flags | images/s |\n| :-- | --: |\n"
    timm_flags: dict[str, Any] = {}
    for item in best_flags(name):
        if isinstance(item, str):
            yield f"{item}\n"
        else:
            timm_flags = item
    rows = rows_of(name, workload, timm_flags)
    found = measure(rows, rounds)
    refuse_unlike(found)
    yield "\n| row | plain, images/s | SE, images/s | SE's price, % | SE, peak MiB "
    yield "| senet-train is |\n"
    yield "| :-- | --: | --: | --: | --: | --: |\n"
    own = speeds(found["senet-train", "se"])
    for row in rows:
        plain, se = speeds(found[row, "none"]), speeds(found[row, "se"])
        price = [100 * (a / b - 1) for a, b in zip(plain, se, strict=True)]
        peak = statistics.median(m.peak_memory_bytes for m in found[row, "se"]) / 2**20
        yield f"| {row} | {spread(plain)} | {spread(se)} | {spread(price, 1)} | {peak:,.0f} |"
        yield f" {ratio(own, se)} x |\n"


def measure(rows: dict[str, Row], rounds: int) -> dict[tuple[str, str], list[Measured]]:
    """Every row with and without SE, round by round."""
    found: dict[tuple[str, str], list[Measured]] = {}
    for number in range(rounds):
        for row, train in rows.items():
            for attention in ("none", "se"):
                measured = train(attention)
                found.setdefault((row, attention), []).append(measured)
                words = f"round {number + 1}, {row}, {attention}"
                print(f"{words}: {measured.images_per_second:,.0f} images/s", file=sys.stderr)
    return found


def speeds(measured: Sequence[Measured]) -> list[float]:
    """Images per second, by round."""
    return [one.images_per_second for one in measured]


def refuse_unlike(found: dict[tuple[str, str], list[Measured]]) -> None:
    """Every row must have trained the same network."""
    for attention in ("none", "se"):
        same = [one for (_, kind), list_ in found.items() if kind == attention for one in list_]
        assert len({one.parameters for one in same}) == 1, "rows differ in parameters"
        assert len({one.multiply_adds for one in same} - {0}) == 1, "rows differ in multiply-adds"


FIRST_STEP = """
import os, sys
from senet_train.speed import SpeedMeter
SpeedMeter.on_train_batch_end = lambda *arguments: os._exit(0)
from senet_train.cli import main
main(sys.argv[1:])
"""


def start_up(rounds: int) -> Iterator[str]:
    """From the command line to the first step, against importing Lightning alone."""
    workload = WORKLOADS["resnet20"]
    with scratch() as folder:
        asked = [*arguments(workload, "se", 2, 1), f"output_dir={folder}", "overwrite=true"]
        first, lightning, help_ = interleaved(
            rounds,
            lambda: seconds([sys.executable, "-c", FIRST_STEP, *asked]),
            lambda: seconds([sys.executable, "-c", "import pytorch_lightning"]),
            lambda: seconds([str(SENET_TRAIN), "--help"]),
        )
    yield "\n## Start-up\n\n| what | seconds |\n| :-- | --: |\n"
    yield f"| senet-train to the end of its first step (ResNet-20) | {spread(first, 2)} |\n"
    yield f"| python -c 'import pytorch_lightning' | {spread(lightning, 2)} |\n"
    yield f"| the first over the second | {ratio(first, lightning)} |\n"
    yield f"| senet-train --help | {spread(help_, 2)} |\n"


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
