"""How fast: senet-train beside a bare loop and its peers, with and without SE, interleaved.

    uv run scripts/benchmark.py [--quick [--rehearse]] [--rounds 5] [--only NAME ...]
        [--out docs/evidence/benchmarks.md]

Every row trains the same network, batch and optimizer on random images in a process of its own;
the rows of a round follow each other, so that a slow minute meets all of them. The machine must
be quiet. About an hour on two cores; --quick takes a few minutes and measures little: one round of
ResNet-20, and on a GPU less than eight minutes of SE-ResNet-20, -18 and -50.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from benchmarking.gpu_quick import quick
from benchmarking.prices import prices
from benchmarking.side_by_side import streaming, sweep
from benchmarking.start_up import start_up, whole_process
from benchmarking.throughput import throughput
from benchmarking.workload import WORKLOADS

from senet_train.runs.environment import cpu_name, git_commit

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
SECTIONS: dict[str, Callable[[int], Iterator[str]]] = {
    **{
        f"{name}_{device}": partial(throughput, name, device)
        for device in DEVICES
        for name in WORKLOADS
    },
    "prices": prices,
    "whole_process": whole_process,
    "start_up": start_up,
    "streaming": streaming,
    "sweep": sweep,
}
ABOUT = (
    "SE's price: by how much longer a step takes. Peak memory is the process's, its loader's "
    "workers aside. To keep freed memory is senet-train's own trick and the bare loop's; fused SGD "
    "is in all best flags.\n"
)
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm")


def main() -> None:
    """Print the report as it grows, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of ResNet-20 alone; on a GPU the rows that count, in under 8 minutes",
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="with --quick: what it does on a GPU, a few steps of it, on a CPU as well",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.rehearse and not arguments.quick:
        parser.error("--rehearse is for --quick")
    parts = []
    for part in report(arguments):
        print(part, end="", flush=True)
        parts.append(part)
    if arguments.out:
        arguments.out.write_text("".join(parts))


def report(arguments: argparse.Namespace) -> Iterator[str]:
    """Where and how, then the sections."""
    on_gpu = torch.cuda.is_available()
    command = " ".join(["scripts/benchmark.py", *sys.argv[1:]])
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield "# Benchmarks\n\n"
    yield f"`uv run {command}`, commit {git_commit()}. {cpu_name()}, {torch.get_num_threads()} "
    yield f"threads; {packages}.\n\n"
    if arguments.quick and (on_gpu or arguments.rehearse):
        yield from quick("cuda" if on_gpu else "cpu", rehearsal=arguments.rehearse)
    else:
        rounds = 1 if arguments.quick else arguments.rounds
        yield f"Median (range) of {rounds} interleaved rounds; a round's value is the median of "
        yield f"its steps, on a GPU their mean. {ABOUT}"
        for name in ["resnet20_cpu"] if arguments.quick else arguments.only:
            yield from SECTIONS[name](rounds)
    if not on_gpu:
        yield "\nThere was no GPU: nothing here was measured on one.\n"


if __name__ == "__main__":
    main()
