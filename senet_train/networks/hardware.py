"""What `auto` is on this machine: accelerator, precision, kernel; and the kernels by name."""

import logging
from functools import cache
from typing import Literal

import torch

from senet_train.backbones.tail import Tail, composed
from senet_train.config.schema import Accelerator, Kernel, Precision
from senet_train.errors import InputError
from senet_train.networks.kernels.folded import folded
from senet_train.networks.kernels.joined import joined
from senet_train.networks.kernels.library import NoLibrary, load_library
from senet_train.system.resources import usable_cores

log = logging.getLogger("senet_train")


def choose_accelerator(
    asked: Accelerator, setting: str = "trainer.accelerator=gpu"
) -> Literal["cpu", "gpu"]:
    """`auto` -> `gpu` where there is one, else `cpu`.

    Raises InputError for a missing GPU; `setting` is how the user has asked for it.
    """
    present = torch.cuda.is_available()
    if asked == "gpu" and not present:
        raise InputError(f"{setting} and there is no usable GPU: choose cpu or auto")
    return "gpu" if present and asked != "cpu" else "cpu"


def device_of(accelerator: Literal["cpu", "gpu"]) -> torch.device:
    """The device on which a network runs by itself, without a Trainer."""
    return torch.device("cuda" if accelerator == "gpu" else "cpu")


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
    """`auto` -> folded where its passes can be compiled, else joined; composed if neither can run.

    Both need a CPU, channels-last maps, and a single process (`alone`), which has the statistics of
    the whole batch. Raises InputError for a kernel that cannot run here.
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


# What `trainer.kernel` may say.
TAILS: dict[str, Tail] = {"folded": folded, "joined": joined, "composed": composed}
