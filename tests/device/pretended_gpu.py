"""A pretended GPU: a device type of its own, whose tensors the CPU computes, and which counts.

A GPU is fast only where the host runs ahead of it. What makes the host wait, and what a GPU would
refuse, cannot be seen on a CPU. Here every operation below autograd passes by `dispatch`, which
counts

- waits: a number or a tensor read by the host, a copy that is not pinned and non-blocking, an
  operation whose result has a shape that follows from the data;
- copies: those for which the host does not wait;
- mixed: operations on tensors of both devices, which CUDA refuses (a CPU scalar is allowed);
- wide: float64 tensors, which Apple's GPUs do not have;
- kernels: all operations but views.

Not seen: waits inside a kernel of CUDA that no operation shows, except those of `HIDDEN`; autocast,
which this device does not have.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch._C import _acc
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretended"
HOST = torch.device("cpu")

# The shape of what they return follows from the data: CUDA tells the host before it goes on.
DATA_SHAPED = frozenset(
    "nonzero masked_select bincount repeat_interleave unique_dim unique_consecutive _unique _unique2 "
    "nms".split()
)
INDEXING = frozenset("index index_put index_put_ _index_put_impl_ _unsafe_index".split())
# CUDA's `where` copies a number of the host to the device, and waits for it.
HIDDEN = frozenset(["where"])
VIEWS = frozenset(
    "alias as_strided detach diagonal empty empty_like empty_strided expand lift_fresh movedim "
    "new_empty new_empty_strided permute reshape _reshape_alias select set_ slice split "
    "split_with_sizes squeeze t transpose unbind unfold unsqueeze _unsafe_view view view_as_real "
    "view_as_complex".split()
)


class Counts:
    """What was counted, by what and where: `waits["number in learner.py:training_step"]`."""

    def __init__(self) -> None:
        self.kernels, self.waits, self.copies = Counter[str](), Counter[str](), Counter[str]()
        self.mixed, self.wide = Counter[str](), Counter[str]()


class Pretended(torch.Tensor):
    """A tensor of the pretended GPU; `held` has its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Pretended":
        made: Pretended = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device(),
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return dispatch(function, args, kwargs or {})

    def tolist(self) -> Any:
        """Torch refuses it for a subclass."""
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"Pretended({self.held})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """What `torch.save` writes: the numbers, as a file that is loaded to the CPU has them."""
        counting().waits[f"saved {where()}"] += 1
        return self.held.__reduce_ex__(protocol)


def device() -> torch.device:
    return torch.device(NAME, 0)


_counts: list[Counts] = []


def counting() -> Counts:
    """The counts of the block that is entered."""
    return _counts[-1] if _counts else Counts()


@contextmanager
def pretended_gpu() -> Iterator[Callable[[], Counts]]:
    """For the block there is a pretended GPU. The function begins new counts, and returns them."""
    register()

    def begin() -> Counts:
        _counts[:] = [Counts()]
        return _counts[-1]

    begin()
    try:
        with Mode():
            yield begin
    finally:
        _counts.clear()


class Mode(TorchDispatchMode):
    """Sees what makes tensors, too, and operations of the host's tensors."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return dispatch(function, args, kwargs or {})


def dispatch(function: Any, args: Any, kwargs: Any) -> Any:
    """Compute an operation on the CPU, and count it if it is one of the pretended GPU."""
    name = function.overloadpacket.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    asked = kwargs.get("device")
    to = torch.device(asked) if asked is not None else (ours[0].device if ours else HOST)
    if name in ("pin_memory", "_pin_memory", "is_pinned"):
        return pinned(name, tensors[0])
    if not ours and to.type != NAME:
        return function(*args, **kwargs)
    if is_composite(function):  # under inference mode it comes whole
        with Mode():
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
    count(name, tensors, ours, args, kwargs, to)
    # A view of a tensor from outside of inference mode is no inference tensor.
    as_inference = torch.is_inference_mode_enabled() and not (
        name in VIEWS and ours and not ours[0].is_inference()
    )
    with torch.inference_mode(as_inference):
        return compute(function, name, args, kwargs, ours, to)


def compute(
    function: Any, name: str, args: Any, kwargs: Any, ours: list[Pretended], to: torch.device
) -> Any:
    """The result, on the device `to`; what was changed in place is the same tensor as before."""
    known = {id(tensor.held): tensor for tensor in ours}
    inner = tree_map(
        lambda leaf: leaf.held if isinstance(leaf, Pretended) else leaf, (args, kwargs)
    )
    if "device" in kwargs:
        inner[1]["device"] = HOST
    if name == "convolution_backward":  # of channels-last maps oneDNN's has a fault: onednn.py
        inner = ([part.contiguous() for part in inner[0][:3]] + list(inner[0][3:]), inner[1])
    made = function(*inner[0], **inner[1])
    if to.type != NAME:  # copied to the host
        return made
    if name in ("_local_scalar_dense", "equal"):
        return made
    if name == "copy_" and not isinstance(args[0], Pretended):
        return args[0]

    def placed(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if leaf.dtype == torch.float64:
            counting().wide[f"{name} {where()}"] += 1
        found = known.get(id(leaf))
        return Pretended(leaf) if found is None else found

    return tree_map(placed, made)


def is_composite(function: Any) -> bool:
    key = "CompositeImplicitAutograd"
    return function._can_decompose() and torch._C._dispatch_has_kernel_for_dispatch_key(
        function.name(), key
    )


def pinned(name: str, tensor: torch.Tensor) -> Any:
    """Pinned memory of a machine without a GPU: a copy that says that it is pinned."""
    if name == "is_pinned":
        return is_pinned(tensor)
    copy = tensor.clone()
    copy.pretends_to_be_pinned = True  # type: ignore[attr-defined]
    return copy


def is_pinned(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "pretends_to_be_pinned")


def count(
    name: str,
    tensors: list[torch.Tensor],
    ours: list[Pretended],
    args: Any,
    kwargs: Any,
    to: torch.device,
) -> None:
    """Count one operation."""
    counts = counting()
    if name in ("_to_copy", "copy_"):
        source, target = (args[0], to) if name == "_to_copy" else (args[1], args[0].device)
        blocks = not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
        if source.device.type != target.type:
            count_copy(source, target, blocks)
    elif name in ("_local_scalar_dense", "equal"):
        counts.waits[f"number {where()}"] += 1
    elif name in DATA_SHAPED or (name in INDEXING and is_masked(args)):
        counts.waits[f"{name} {where()}"] += 1
    elif name in HIDDEN and len(ours) < len(tensors):
        counts.waits[f"{name} of a number {where()}"] += 1
    elif ours and any(t.dim() > 0 for t in tensors if not isinstance(t, Pretended)):
        counts.mixed[f"{name} {where()}"] += 1
    if name not in VIEWS:
        counts.kernels[name] += 1


def is_masked(args: Any) -> bool:
    """Whether one of the indices is a mask, which is searched for its ones."""
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def count_copy(source: torch.Tensor, target: torch.device, blocks: bool) -> None:
    counts, place = counting(), where()
    if target.type != NAME:
        counts.waits[f"copy to the host {place}"] += 1
    elif blocks or not is_pinned(source):
        counts.waits[f"copy to the device {place}"] += 1
    else:
        counts.copies[f"copy to the device {place}"] += 1


THEIRS = (
    "torchvision/",
    "torchmetrics/",
    "pytorch_lightning/",
    "lightning_fabric/",
    "torch/optim/",
)


def where() -> str:
    """The innermost function of the project, and of a library that it has called."""
    theirs = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_qualname
        if "/senet_train/" in path:
            return f"in {path.rpartition('/')[2]}:{name}{theirs}"
        if not theirs and any(word in path for word in THEIRS):
            theirs = f", {path.partition('site-packages/')[2]}:{name}"
        frame = frame.f_back
    return f"in{theirs or ' backward'}"


class Guard(_acc.DeviceGuard):
    """Torch asks it on the way back of autograd."""

    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.PrivateUse1


class Hooks(_acc.PrivateUse1Hooks):
    """Torch asks them whether there is such a device."""

    def is_available(self) -> bool:
        return bool(_counts)

    def is_built(self) -> bool:
        return True

    def has_primary_context(self, device_index: int) -> bool:
        return True


class Backend:
    """What torch asks of a module `torch.pretended`."""

    @staticmethod
    def is_available() -> bool:
        return bool(_counts)

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """The CPU's generator draws."""


_registered: list[object] = []


def register() -> None:
    """Tell torch of the device type, once in a process; no tensor is on it outside of the block."""
    if _registered:
        return
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, Backend)
    guard, hooks = Guard(), Hooks()
    _acc.register_python_privateuseone_device_guard(guard)
    _acc.register_python_privateuseone_hook(hooks)
    library = torch.library.Library("aten", "IMPL")
    # Where torch makes a tensor of a list of numbers, it keeps that from dispatch modes.
    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")
    _registered.extend((guard, hooks, library))


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **place: Any) -> torch.Tensor:
    return Pretended(torch.empty_strided(size, stride, dtype=dtype, device=HOST))


def copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> Any:
    count_copy(source, device(), not non_blocking)
    assert isinstance(target, Pretended)
    target.held.copy_(source)
    return target
