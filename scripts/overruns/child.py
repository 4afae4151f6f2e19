"""Run by scripts/find_overruns.py under the guarding allocator: cases, and proofs of the detector.

    child.py JOBS FIRST LAST THREADS    # the jobs of a file, [FIRST, LAST)
    child.py --prove NAME

Prints a line of JSON before a job, and another after it if there is anything to say.
"""

import contextlib
import ctypes
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
import torchvision  # noqa: F401  # it registers its operators
from torch import Tensor, nn

SECONDS = 300  # for one job, after which SIGALRM ends the process
MOST_KEPT = 8000  # blocks still held: Linux bounds a process's mappings
GUARDED = 4096  # bytes: a tensor of whole pages ends where its pages do

NAMES = ("reads", "writes", "patterns", "unguarded", "size", "offset", "freed")


class Notes(ctypes.Structure):
    """As in guard_pages.c."""

    _fields_ = [(name, ctypes.c_long) for name in NAMES]


GUARD = ctypes.CDLL(None)


def notes() -> dict[str, int]:
    """What was noted since the last call, empty if nothing."""
    taken = Notes()
    GUARD.guard_take(ctypes.byref(taken))
    found = {name: int(getattr(taken, name)) for name in NAMES}
    return found if any(found.values()) else {}


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1] == "--prove":
        say(prove(PROOFS[sys.argv[2]]))
        return
    path = sys.argv[1]
    first, last, threads = map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with open(path, encoding="utf-8") as lines:
        jobs = [json.loads(line) for line in lines]
    for number in range(first, last):
        if GUARD.guard_live() > MOST_KEPT:
            break
        say({"start": number})
        signal.alarm(SECONDS)
        found = watched(jobs[number])
        if found:
            say({"job": number} | found)
    say({"ended": True})


def say(what: dict[str, Any]) -> None:
    """To the parent, at once."""
    print(json.dumps(what), flush=True)


def watched(job: dict[str, Any]) -> dict[str, Any]:
    """What a job did that it should not: notes, or the error it ended with."""
    GUARD.guard_switch(1)
    error: dict[str, Any] = {}
    try:
        run(job)
    except (RuntimeError, ValueError, TypeError, IndexError) as raised:
        error = {"error": str(raised).splitlines()[0]}
        del raised
    GUARD.guard_switch(0)
    return error | notes()


def run(job: dict[str, Any]) -> None:
    """Forward and backward; every tensor of it is freed on return."""
    if job["op"] == "fold":
        fold(job)
        return
    args = [made(value, job, place) for place, value in enumerate(job["args"])]
    function: Any = torch.ops
    for name in job["op"].split("."):
        function = getattr(function, name)
    backward(function(*args))


def backward(result: Any) -> None:
    """From the first of the outputs that has a gradient."""
    outputs = result if isinstance(result, tuple | list) else [result]
    first = next(one for one in outputs if one is not None and one.requires_grad)
    first.backward(torch.ones_like(first))


def made(value: Any, job: dict[str, Any], place: int) -> Any:
    """An argument; batch normalisation's own tensors stay float32, as in mixed precision."""
    if isinstance(value, list):
        return [made(one, job, place) for one in value]
    if not isinstance(value, dict):
        return value
    batch_norm = "batch_norm" in job["op"] and place > 0
    dtype = torch.float32 if batch_norm else getattr(torch, job["dtype"])
    numbers = torch.rand(value["shape"]).to(dtype)
    if numbers.dim() == 4 and job["layout"] == "channels_last":
        numbers = numbers.contiguous(memory_format=torch.channels_last)
    return numbers.requires_grad_(not (batch_norm and place > 2))


def fold(job: dict[str, Any]) -> None:
    """Our own compiled passes: BatchNorm, SE if asked, shortcut and ReLU in one."""
    from senet_train.attention import SqueezeExcite
    from senet_train.networks.kernels.folded import folded

    maps, with_attention = job["args"]
    y, shortcut = made(maps, job, 0), made(maps, job, 0)
    channels = y.shape[1]
    attention = SqueezeExcite(channels, ratio=1) if with_attention else None
    backward(folded(y, nn.BatchNorm2d(channels), attention, shortcut))


def prove(proof: Callable[[], None]) -> dict[str, Any]:
    """What the detector notes of a known fault."""
    GUARD.guard_switch(1)
    with contextlib.suppress(ValueError):
        proof()
    GUARD.guard_switch(0)
    return notes()


def elements(numbers: Tensor) -> Any:
    """Its float32 elements as C sees them: no index is wrong."""
    return ctypes.cast(numbers.data_ptr(), ctypes.POINTER(ctypes.c_float))


def clean() -> None:
    """A convolution that has no fault."""
    layer = nn.Conv2d(3, 8, 3, padding=1)
    layer(torch.rand(2, 3, 16, 16)).sum().backward()


def write_past() -> None:
    """One element past the end of the pages."""
    numbers = torch.zeros(GUARDED)
    elements(numbers)[GUARDED] = 1


def write_past_within_page() -> None:
    """One element past the end, where the alignment leaves room in the page."""
    numbers = torch.zeros(GUARDED - 1)
    elements(numbers)[GUARDED - 1] = 1


def write_far_past() -> None:
    """As far again as the tensor is long, and more."""
    numbers = torch.zeros(GUARDED)
    elements(numbers)[10 * GUARDED] = 1


def write_before() -> None:
    """One element before the beginning."""
    numbers = torch.zeros(GUARDED)
    elements(numbers)[-1] = 1


def write_freed() -> None:
    """An element of a tensor that is no more."""
    numbers = torch.zeros(GUARDED)
    there = elements(numbers)
    del numbers
    there[0] = 1


def read_past() -> None:
    """One element past the end of the pages, which is left as it is."""
    numbers = torch.zeros(GUARDED)
    elements(numbers)[GUARDED]


def dies() -> None:
    """An address that is nobody's."""
    ctypes.memset(8, 0, 1)


def known() -> None:
    """The gradient of a 1x1 convolution's weight with stride 2, as oneDNN 3.13.3 makes it."""
    layer = nn.Conv2d(8, 16, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
    maps = torch.rand(2, 8, 56, 56).contiguous(memory_format=torch.channels_last)
    y = torch.ops.aten.convolution.default(
        maps, layer.weight, None, [2, 2], [0, 0], [1, 1], False, [0, 0], 1
    )
    y.backward(torch.ones_like(y))


PROOFS: dict[str, Callable[[], None]] = {
    proof.__name__: proof
    for proof in (
        *(clean, write_past, write_past_within_page, write_far_past, write_before, write_freed),
        *(read_past, dies, known),
    )
}

if __name__ == "__main__":
    main()
