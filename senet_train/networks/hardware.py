"""What `auto` is on this machine: accelerator, precision, kernel; and `Hardware`, all of it."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from senet_train.backbones.tail import Tail, composed
from senet_train.config.schema import Accelerator, Kernel, Precision
from senet_train.errors import InputError
from senet_train.networks.kernels.compiled import no_compiler
from senet_train.networks.kernels.folded import folded
from senet_train.networks.kernels.joined import joined
from senet_train.networks.kernels.library import NoLibrary, load_library
from senet_train.system.cards import capability_of, card_fault, driver_version
from senet_train.system.resources import usable_cores

log = logging.getLogger("senet_train")


def choose_accelerator(
    asked: Accelerator, setting: str = "trainer.accelerator=gpu"
) -> Literal["cpu", "gpu", "mps"]:
    """`auto` -> `gpu` where there is one that this PyTorch has code for, else `cpu`.

    Raises InputError where a GPU was asked for and cannot be used; `setting` is how the user has
    asked for it. Where `auto` leaves one unused, as that of a Mac always, a line says so.
    """
    if asked == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            "trainer.accelerator=mps and there is no Apple GPU that PyTorch can use: choose cpu or "
            "auto"
        )
    if asked in ("cpu", "mps"):
        return asked
    fault = card_fault()
    if not fault:
        return "gpu"
    if asked == "gpu":
        raise InputError(f"{setting} and {fault}: choose cpu or auto")
    if torch.cuda.is_available():
        warn_once(f"the CPU is used: {fault}")
    if torch.backends.mps.is_available():
        warn_once(
            "the CPU is used: the GPU of this Mac has not been tried, and trainer.accelerator=mps "
            "alone takes it"
        )
    return "cpu"


@cache
def warn_once(line: str) -> None:
    """Log a warning, the same one only once in a process."""
    log.warning(line)


@dataclass(frozen=True)
class Hardware:
    """What a run computes with, `auto` resolved. A record's environment has all of it.

    `capability` and `tf32` are of a GPU, `8.6` and `off`, and so are the versions.
    """

    accelerator: str
    precision: str
    kernel: str
    capability: str = ""
    tf32: str = ""
    cudnn_benchmark: bool = False
    cuda: str = ""  # or ROCm
    cudnn: str = ""
    driver: str = ""


def hardware_of(
    accelerator: str, precision: Precision, kernel: Kernel, *, deterministic: bool
) -> Hardware:
    """The hardware of this machine for a run in which no `auto` is left."""
    if accelerator != "gpu":
        return Hardware(accelerator, str(precision), kernel)
    return Hardware(
        accelerator,
        str(precision),
        kernel,
        capability=".".join(map(str, capability_of())),
        tf32="off",  # see system/arithmetic.py
        cudnn_benchmark=not deterministic,
        cuda=torch.version.cuda or f"ROCm {torch.version.hip}",
        cudnn=str(torch.backends.cudnn.version() or ""),
        driver=driver_version(),
    )


def device_of(accelerator: Literal["cpu", "gpu", "mps"]) -> torch.device:
    """The device on which a network runs by itself, without a Trainer."""
    return torch.device("cuda" if accelerator == "gpu" else accelerator)


def choose_precision(asked: Precision, accelerator: str) -> Precision:
    """`auto` -> bf16-mixed where the hardware multiplies bfloat16, else 32.

    On a GPU that multiplies float16 alone, which those of capability 7.x do, it is 16-mixed. On
    that of a Mac it is 32.
    """
    if asked != "auto":
        return asked
    if accelerator == "gpu":
        major, _ = capability_of()
        return "bf16-mixed" if major >= 8 else "16-mixed" if major == 7 else 32
    if accelerator == "mps":
        return 32
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if fast else 32


# What the numbers of a mixed precision are, where they are not float32.
MIXED: dict[Precision, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The autocast context of a run of this precision."""
    dtype = MIXED.get(precision)
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


@cache
def choose_kernel(asked: Kernel, accelerator: str, channels_last: bool, alone: bool) -> Kernel:
    """`auto` -> folded where its passes can be compiled, else joined; composed if neither can run.

    Both need a CPU, channels-last maps, and a single process (`alone`), which has the statistics of
    the whole batch. `compiled` is what `auto` is where torch.compile cannot work, with a line that
    says why. Raises InputError for a kernel that cannot run here.
    """
    if asked == "composed":
        return asked
    if asked == "compiled":
        return compiled_or_other(accelerator, channels_last, alone)
    if accelerator != "cpu" or not channels_last or not alone:
        if asked == "auto":
            return "composed"
        raise InputError(
            f"trainer.kernel={asked} is for channels-last maps on a CPU, by one process: "
            "choose auto or composed"
        )
    return asked if asked == "joined" else folded_or_joined(asked)


def compiled_or_other(accelerator: str, channels_last: bool, alone: bool) -> Kernel:
    """`compiled` where this machine can compile, else what `auto` is, with a line."""
    if accelerator == "cpu" and not channels_last:
        # Inductor lays maps out so by itself, behind the back of networks/onednn.py.
        raise InputError(
            "trainer.kernel=compiled is for channels-last maps on a CPU: choose "
            "trainer.channels_last=true, or trainer.kernel=composed"
        )
    reason = no_compiler(accelerator)
    if not reason:
        return "compiled"
    other = choose_kernel("auto", accelerator, channels_last, alone)
    log.warning("trainer.kernel=%s, not compiled: %s", other, reason)
    return other


def folded_or_joined(asked: Kernel) -> Kernel:
    """`folded` if its passes can be compiled, else `joined` with a line that says why.

    Raises InputError if `folded` was asked for and cannot be had.
    """
    try:
        load_library()
    except NoLibrary as reason:
        if asked == "folded":
            raise InputError(f"trainer.kernel=folded: {reason}: choose auto or joined") from None
        log.warning("trainer.kernel=joined, slower than folded by some 10 %%: %s", reason)
        return "joined"
    return "folded"


def use_no_more_threads_than_cores() -> None:
    """Keep torch to the cores that a container or a batch system leaves us: it does not look."""
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


# What `trainer.kernel` may say. torch.compile reads the network module by module.
TAILS: dict[str, Tail] = {
    "folded": folded,
    "joined": joined,
    "composed": composed,
    "compiled": composed,
}
