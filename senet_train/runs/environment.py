"""Where a run is made: device, precision, versions, the code itself."""

import hashlib
import logging
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from senet_train.config.schema import Kernel, Precision
from senet_train.runs.record import Environment

log = logging.getLogger("senet_train")


# What reads runs or images and makes no run.
READERS = ("commands", "compare", "runs/trained", "training/pictures", "figures.py")


PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy")


def describe_environment(
    accelerator: str, precision: Precision, kernel: Kernel, further: Sequence[str] = ()
) -> Environment:
    """The record's account of this machine and this code; `further` are a run's own packages."""
    cpu = cpu_name()
    return Environment(
        code=code_hash(),
        versions={
            "python": platform.python_version(),
            "senet-train": version("senet-train"),
            **{package: version(package) for package in PACKAGES},
            **{package: version(package) for package in further},
        },
        device=torch.cuda.get_device_name() if accelerator == "gpu" else cpu,
        cpu=cpu,
        threads=torch.get_num_threads(),
        precision=str(precision),
        kernel=kernel,
        git=git_commit(),
    )


@cache
def code_hash() -> str:
    """sha256 over the source files that make a run: the same in a wheel and in a checkout.

    Commands that only read runs or images are not in it: a better table must not make runs look
    made by other code.
    """
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    files = {*root.rglob("*.py"), *root.rglob("*.cpp")}
    files -= {f for name in READERS for f in [root / name, *root.glob(f"{name}/**/*.py")]}
    for file in sorted(files):
        digest.update(f"{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def cpu_name() -> str:
    """The processor's model name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def git_commit() -> str:
    """The checkout's commit, `+dirty` with uncommitted changes; "" outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            [*command, "--dirty=+dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
