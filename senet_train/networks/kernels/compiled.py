"""`trainer.kernel=compiled`: torch.compile of what a training step asks of a network.

What is compiled is a function that calls the network; the network stays as it is. Its weights keep
their names, and validation, test, the histograms of gates, latency and every command compute it
module by module.

Every batch of a training has the same shape. So a GPU's kernels are recorded as CUDA graphs in the
first steps and are played back from then on, which `mode="reduce-overhead"` is the name of. Numbers
that a layer draws are those that it draws without a compiler: the learner seeds the generator at
every step, and `fallback_random` draws from it.
"""

import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senet_train.errors import RunError
from senet_train.networks.kernels.library import COMPILERS

Forward = Callable[[Tensor], Any]

HOW: dict[str, Any] = {
    "backend": "inductor",
    "options": {"triton.cudagraphs": True, "fallback_random": True},
}
LONGEST_REASON = 200  # characters: a compiler's own words may be pages
C_COMPILERS = ("cc", "gcc", "clang")  # Triton builds with one what launches its kernels

# Whether compiling pays. Declared, not measured here: no GPU was at hand.
COMPILE_SECONDS = 120.0  # of the forward and the backward pass of a ResNet-50
SAVED = 0.19  # of a step: 3.83 s and 3.09 s of training, KellerJordan/cifar10-airbench, A100
# A step takes at least so long, as the host starts its kernels one by one: 128 images of
# SE-ResNet-18 or -20 at 14,000 images/s. It is the same for every arm of a table, and so is the
# choice.
BATCH_SECONDS = 0.009


def compiling_pays(accelerator: str, batches: int, *, alone: bool, deterministic: bool) -> bool:
    """Whether `auto` compiles: if that saves a GPU more time in so many batches than it takes.

    Several processes were not tried on GPUs. A deterministic run is not compiled: Inductor chooses
    some kernels by timing them, and they add in other orders.
    """
    usual = accelerator == "gpu" and alone and not deterministic
    return usual and batches * BATCH_SECONDS * SAVED > COMPILE_SECONDS


def no_compiler(accelerator: str) -> str:
    """Why torch.compile cannot work on this machine; "" where it can.

    Inductor writes C++ for a CPU, and for a GPU Triton's language, which is started from C.
    """
    if accelerator == "mps":
        return "it has not been tried on the GPU of a Mac"
    if accelerator == "gpu" and importlib.util.find_spec("triton") is None:
        return "torch.compile needs the package triton, which is not here"
    wanted = C_COMPILERS if accelerator == "gpu" else COMPILERS
    if not any(map(shutil.which, wanted)):
        return f"torch.compile needs a compiler, and there is none of {', '.join(wanted)}"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if header.exists() else f"torch.compile needs {header}, which is not here"


def compiled(network: nn.Module) -> Forward:
    """A function that computes what `network` does, and is compiled when it is first called."""
    torch.compiler.reset()  # else graphs of earlier runs stay, and after some nothing is compiled
    run = torch.compile(network, dynamic=False, **HOW)

    def forward(images: Tensor) -> Any:
        """What the network computes of images (B, 3, H, W), as a step of a training."""
        torch.compiler.cudagraph_mark_step_begin()  # what the last step left may be written over
        return run(images)

    return forward


@contextmanager
def compiling_explained() -> Iterator[None]:
    """For the block, raise RunError with the way out for an error of torch.compile."""
    try:
        yield
    except RuntimeError as error:
        known = sys.modules.get("torch._dynamo.exc")  # it takes long to import
        if known is None or not isinstance(error, known.TorchDynamoException):
            raise
        reason = " ".join(str(error).partition("\n\n")[0].split())[:LONGEST_REASON]
        raise RunError(
            f"torch.compile failed ({reason}): trainer.kernel=composed trains without it"
        ) from error
