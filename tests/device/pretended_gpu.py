"""A pretended GPU: a device type of its own, whose tensors the CPU computes, and which counts.

A GPU is fast only where the host runs ahead of it. What makes the host wait, and what a GPU would
refuse, cannot be seen on a CPU. Here every operation below autograd passes by `dispatch`, which
counts by place (`counts.waits["item in learner.py:Learner.training_step"]`)

- waits: a number or a tensor that the host reads, a copy that blocks or is not from pinned memory,
  an operation whose result has a shape that follows from the data;
- copies: those for which the host does not wait;
- mixed: operations on tensors of both devices, which CUDA refuses (it takes a CPU scalar);
- float64: tensors that Apple's GPUs do not have;
- kernels: operations that are no views.

Not seen: what a kernel of CUDA does inside, and autocast, which this device does not have.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch._C import _acc
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretended"
HOST = torch.device("cpu")
READS = ("_local_scalar_dense", "equal")
PINS = ("pin_memory", "_pin_memory", "is_pinned")
INDEXES = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
# CUDA tells the host the shape of what they return before it goes on.
DATA_SHAPED = (
    *("nonzero", "masked_select", "bincount", "repeat_interleave", "nms"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive"),
)
# They compute nothing.
VIEWS = (
    *("alias", "as_strided", "detach", "diagonal", "expand", "lift_fresh", "movedim", "permute"),
    *("_reshape_alias", "select", "slice", "split", "split_with_sizes", "squeeze", "t"),
    *("transpose", "unbind", "unfold", "unsqueeze", "_unsafe_view", "view"),
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
)
LIBRARIES = (
    *("torchvision/", "torchmetrics/", "pytorch_lightning/", "lightning_fabric/"),
    *("torch/optim/", "torch/amp/"),
)


@dataclass
class Counts:
    """What was counted, by what and where."""

    kernels: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    mixed: Counter[str] = field(default_factory=Counter)
    float64: Counter[str] = field(default_factory=Counter)


_counts: list[Counts] = []  # those of the block that is entered


def counting() -> Counts:
    return _counts[-1] if _counts else Counts()


def device() -> torch.device:
    return torch.device(NAME, 0)


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
    """Sees operations that make tensors, and those on tensors of the host."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return dispatch(function, args, kwargs or {})


class Pretended(Tensor):
    """A tensor of the pretended GPU; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Pretended":
        made: Pretended = Tensor._make_wrapper_subclass(
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
        """What `torch.save` writes: the numbers, as a file has them that is loaded to the CPU."""
        counting().waits[f"save {place()}"] += 1
        return self.held.__reduce_ex__(protocol)


def dispatch(function: Any, args: Any, kwargs: Any) -> Any:
    """Compute an operation on the CPU, and count it if the pretended GPU has a part in it."""
    name = function.overloadpacket.__name__
    tensors = tensors_in((*args, *kwargs.values()))
    ours = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    asked = kwargs.get("device")
    target = torch.device(asked) if asked is not None else (ours[0].device if ours else HOST)
    if name in PINS:
        return is_pinned(tensors[0]) if name == "is_pinned" else pinned(tensors[0])
    if not ours and target.type != NAME:
        return function(*args, **kwargs)
    if is_composite(function):  # under inference mode it comes whole
        with Mode():
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
    count(name, tensors, args, kwargs, target)
    if name in VIEWS and ours and torch.is_inference_mode_enabled():
        # A view of a tensor from outside of inference mode is no inference tensor.
        with torch.inference_mode(ours[0].is_inference()):
            return compute(function, name, args, kwargs, ours, target)
    return compute(function, name, args, kwargs, ours, target)


@cache
def is_composite(function: Any) -> bool:
    """Known once for each overload: torch takes longer to say it than for a small operation."""
    key = "CompositeImplicitAutograd"
    return function._can_decompose() and torch._C._dispatch_has_kernel_for_dispatch_key(
        function.name(), key
    )


def compute(
    function: Any, name: str, args: Any, kwargs: Any, ours: list[Pretended], target: torch.device
) -> Any:
    """The result on the device `target`; what is changed in place is the same tensor as before."""
    known = {id(tensor.held): tensor for tensor in ours}
    held_args, held_kwargs = mapped(held, (args, kwargs))
    if "device" in kwargs:
        held_kwargs["device"] = HOST
    if name == "convolution_backward":  # oneDNN's has a fault: senet_train/networks/onednn.py
        held_args = [part.contiguous() for part in held_args[:3]] + list(held_args[3:])
    made = function(*held_args, **held_kwargs)
    if target.type != NAME or name in READS:
        return made
    if name == "copy_":
        return args[0]

    def placed(leaf: Tensor) -> Tensor:
        if leaf.dtype == torch.float64:
            counting().float64[f"{name} {place()}"] += 1
        before = known.get(id(leaf))
        return Pretended(leaf) if before is None else before

    return mapped(placed, made)


def held(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, Pretended) else tensor


def tensors_in(parts: Iterable[Any]) -> list[Tensor]:
    """Those in lists, tuples and dicts. torch's own pytree takes a third of the time of a run."""
    found: list[Tensor] = []
    for part in parts:
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, list | tuple | dict):
            found += tensors_in(part.values() if isinstance(part, dict) else part)
    return found


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The tree with `function` of each of its tensors."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, list | tuple):
        return type(tree)([mapped(function, part) for part in tree])
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    return tree


def count(name: str, tensors: list[Tensor], args: Any, kwargs: Any, target: torch.device) -> None:
    """Count one operation."""
    counts = counting()
    of_host = [tensor for tensor in tensors if not isinstance(tensor, Pretended)]
    if name == "_to_copy":
        count_copy(args[0], target, blocks=not kwargs.get("non_blocking"))
    elif name == "copy_":
        count_copy(args[1], args[0].device, blocks=not (*args, *kwargs.values(), False)[2])
    elif name in READS:
        counts.waits[f"item {place()}"] += 1
    elif name in DATA_SHAPED or (name in INDEXES and has_mask(args[1])):
        counts.waits[f"{name} {place()}"] += 1
    elif name == "where" and of_host:  # CUDA's copies a number of the host, and waits for that
        counts.waits[f"where {place()}"] += 1
    if any(tensor.dim() > 0 for tensor in of_host) and name not in ("_to_copy", "copy_"):
        counts.mixed[f"{name} {place()}"] += 1
    if name not in VIEWS:
        counts.kernels[name] += 1


def has_mask(indices: Any) -> bool:
    """Whether an index is a mask, which is searched for its ones."""
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def count_copy(source: Tensor, target: torch.device, *, blocks: bool) -> None:
    counts = counting()
    if source.device.type == target.type:
        return
    if target.type != NAME:
        counts.waits[f"copy to the host {place()}"] += 1
    elif blocks or not is_pinned(source):
        counts.waits[f"copy to the device {place()}"] += 1
    else:
        counts.copies[f"copy to the device {place()}"] += 1


def is_pinned(tensor: Tensor) -> bool:
    return hasattr(tensor, "pretends_to_be_pinned")


def pinned(tensor: Tensor) -> Tensor:
    """There is no pinned memory without a GPU: a copy that says that it is pinned."""
    copy: Any = tensor.clone()
    copy.pretends_to_be_pinned = True
    return copy


def place() -> str:
    """The innermost function of the project, and the one of a library that it has called."""
    library, frame = "", sys._getframe(1)
    while frame is not None:
        of_project, own_library = said_of(frame.f_code)
        if of_project:
            return f"in {of_project}{library}"
        library = library or own_library
        frame = frame.f_back  # type: ignore[assignment]
    return f"in{library or ' autograd'}"


@cache
def said_of(code: CodeType) -> tuple[str, str]:
    """What a place says of a function: as one of the project, and as one of a library."""
    path, name = code.co_filename, code.co_qualname
    if "/senet_train/" in path:
        return f"{path.rpartition('/')[2]}:{name}", ""
    if any(word in path for word in LIBRARIES):
        return "", f", {path.partition('site-packages/')[2]}:{name}"
    return "", ""


class Guard(_acc.DeviceGuard):
    """Autograd asks it on the way back."""

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
    """What torch asks of a module `torch.pretended`; numbers are drawn by the CPU's generator."""

    is_available = staticmethod(lambda: bool(_counts))
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    manual_seed = staticmethod(lambda seed: None)
    manual_seed_all = staticmethod(lambda seed: None)
    _is_in_bad_fork = staticmethod(lambda: False)


_registered: list[object] = []


def register() -> None:
    """Tell torch of the device type, once in a process; outside of the block it is not there."""
    if _registered:
        return
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, Backend)
    guard, hooks = Guard(), Hooks()
    _acc.register_python_privateuseone_device_guard(guard)
    _acc.register_python_privateuseone_hook(hooks)
    library = torch.library.Library("aten", "IMPL")
    # Where torch makes a tensor of a list of numbers, it hides that from dispatch modes.
    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")
    _registered.extend((guard, hooks, library))


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **where: Any) -> Tensor:
    return Pretended(torch.empty_strided(size, stride, dtype=dtype, device=HOST))


def copy_from(source: Tensor, target: Pretended, non_blocking: bool = False) -> Tensor:
    count_copy(source, device(), blocks=not non_blocking)
    target.held.copy_(source)
    return target
