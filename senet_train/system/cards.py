"""Which of this machine's GPUs this build of PyTorch has code for.

A build has machine code for some architectures: that of `sm_86` runs on every card of capability
8.6 and later 8.x, that of `sm_90a` on 9.0 alone, and that of `sm_100f` as that of `sm_100` does. It
may have PTX, `compute_90`, which the driver compiles for every later card. Source: NVIDIA, "CUDA
C++ Programming Guide", chapters "Binary compatibility", "PTX compatibility" and "Feature sets".
"""

import re
import subprocess
import warnings
from functools import cache
from pathlib import Path

import torch

DRIVER = Path("/proc/driver/nvidia/version")  # of Linux


def runs_on(architecture: str, capability: tuple[int, int]) -> bool:
    """Whether code of an architecture, `sm_86` or `compute_90`, runs on a card of a capability."""
    kind, _, number = architecture.partition("_")
    digits = number.rstrip("af")
    built_for = int(digits[:-1]), int(digits[-1])
    if number.endswith("a"):
        return capability == built_for
    of_any_version = kind == "compute" and not number.endswith("f")
    return capability >= built_for and (of_any_version or capability[0] == built_for[0])


def card_fault(card: int = 0) -> str:
    """Why the GPU of this number cannot be used, `there is no usable GPU`; "" if it can."""
    if not torch.cuda.is_available():
        return "there is no usable GPU"
    architectures = torch.cuda.get_arch_list()
    if torch.version.hip or not architectures:  # then it is not known
        return ""
    capability = capability_of(card)
    if any(runs_on(architecture, capability) for architecture in architectures):
        return ""
    return (
        f"this PyTorch has no code for GPU {card}, {torch.cuda.get_device_name(card)} of "
        f"capability {capability[0]}.{capability[1]} (it has {', '.join(architectures)})"
    )


def capability_of(card: int = 0) -> tuple[int, int]:
    """The compute capability of the GPU of this number, (8, 6)."""
    with warnings.catch_warnings():  # torch's own words on an old card, a paragraph: see card_fault
        warnings.simplefilter("ignore", UserWarning)
        return torch.cuda.get_device_capability(card)


def usable_cards() -> list[int]:
    """The numbers of the GPUs that can be used."""
    return [card for card in range(torch.cuda.device_count()) if not card_fault(card)]


@cache
def driver_version() -> str:
    """The release of NVIDIA's driver, `580.65.06`; "" where nobody tells it."""
    told = DRIVER.read_text(encoding="utf-8") if DRIVER.exists() else asked_of_the_driver()
    found = re.search(r"\d+\.\d+(\.\d+)?", told)
    return found[0] if found else ""


def asked_of_the_driver() -> str:
    """What NVIDIA's own program says, which comes with the driver; "" without it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
