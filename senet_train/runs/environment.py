"""Where a run is made: device, precision, package versions, and the commit of our code."""

import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from senet_train.networks.hardware import Hardware
from senet_train.runs.code import code_hash
from senet_train.runs.record import Environment

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy")


def describe_environment(hardware: Hardware, further: Sequence[str] = ()) -> Environment:
    """This machine, the versions of the packages, and the code, for the record.

    `further` names packages besides `PACKAGES` that the run depends on.
    """
    cpu = cpu_name()
    return Environment(
        code=code_hash(),
        versions={
            "python": platform.python_version(),
            "senet-train": version_of("senet-train"),
            **{package: version_of(package) for package in PACKAGES},
            **{package: version_of(package) for package in further},
        },
        device=device_name(hardware.accelerator, cpu),
        cpu=cpu,
        threads=torch.get_num_threads(),
        git=git_commit(),
        **vars(hardware),
    )


@cache  # it reads and parses a file, and a table has many runs
def version_of(package: str) -> str:
    """The version of an installed package, when it was first asked for."""
    return version(package)


def device_name(accelerator: str, cpu: str) -> str:
    """What the networks run on: the GPU's name; that of a Mac is a part of its processor."""
    if accelerator == "gpu":
        return torch.cuda.get_device_name()
    return f"GPU of {cpu}" if accelerator == "mps" else cpu


def cpu_name() -> str:
    """The processor's model name where the system tells it."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        return done.stdout.strip() or platform.machine()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
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
            [*command, "--dirty=+dirty"], capture_output=True, encoding="utf-8", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
