"""Where a run is made: device, precision, versions, the code itself."""

import hashlib
import logging
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

import senet_train
from senet_train.config import Accelerator, Kernel, Precision
from senet_train.errors import InputError
from senet_train.fold.library import NoLibrary, load_library
from senet_train.record import Environment

log = logging.getLogger("senet_train")

# What reads runs or images and makes no run.
READERS = (
    *("board", "check", "compare", "drawing", "evaluate", "export"),
    *("inspect", "predict", "profile", "trained"),
)

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy")


def choose_accelerator(asked: Accelerator) -> Literal["cpu", "gpu"]:
    """`auto` -> `gpu` where there is one, else `cpu`. Raises InputError for a missing GPU."""
    present = torch.cuda.is_available()
    if asked == "gpu" and not present:
        raise InputError("trainer.accelerator=gpu and there is no usable GPU: choose cpu or auto")
    return "gpu" if present and asked != "cpu" else "cpu"


def choose_precision(asked: Precision, accelerator: str) -> Precision:
    """`auto` -> bf16-mixed where the hardware multiplies bfloat16, else 32."""
    if asked != "auto":
        return asked
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else 32
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if fast else 32


@cache
def choose_kernel(asked: Kernel, accelerator: str, channels_last: bool, alone: bool) -> Kernel:
    """`auto` -> folded where its passes can be compiled, else joined; composed off their ground.

    Their ground is a CPU, channels-last maps, and one process, which has all statistics itself.

    Raises InputError for a kernel that cannot run here.
    """
    if asked == "composed":
        return asked
    if accelerator != "cpu" or not channels_last or not alone:
        if asked == "auto":
            log.warning("trainer.kernel=composed: the faster ones are for one process on a CPU")
            return "composed"
        raise InputError(
            f"trainer.kernel={asked} is for channels-last maps on a CPU, by one process: "
            "choose auto or composed"
        )
    return asked if asked == "joined" else folded_or_joined(asked)


def folded_or_joined(asked: Kernel) -> Kernel:
    """Whether the passes can be compiled; one line says why not. Raises InputError for `folded`."""
    try:
        load_library()
    except NoLibrary as reason:
        if asked == "folded":
            raise InputError(f"trainer.kernel=folded: {reason}: choose auto or joined") from None
        log.warning("trainer.kernel=joined, slower than folded by some 10 %%: %s", reason)
        return "joined"
    return "folded"


def describe_environment(
    accelerator: str, precision: Precision, kernel: Kernel, further: Sequence[str] = ()
) -> Environment:
    """The record's account of this machine and this code; `further` are a run's own packages."""
    cpu = cpu_name()
    return Environment(
        code=code_hash(),
        versions={
            "python": platform.python_version(),
            "senet-train": senet_train.__version__,
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
    root = Path(__file__).parent
    digest = hashlib.sha256()
    files = {*root.rglob("*.py"), *root.rglob("*.cpp")}
    files -= {file for name in READERS for file in root.glob(f"{name}/**/*.py")}
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
    root = Path(__file__).parent.parent
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
