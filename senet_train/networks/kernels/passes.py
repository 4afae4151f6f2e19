"""The compiled passes on tensors: each reads every map once.

Maps are channels-last (N, C, H, W) of one number type; tables are (N, C) or (C,) and contiguous,
in float64 for float64 maps and else in float32. folded.py has the equations.

Shapes: N images, C channels, H height, W width.
"""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from senet_train.networks.kernels.library import load_library

NAMES = {torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64"}


class Shape(ctypes.Structure):
    """`Shape` of passes.cpp."""

    _fields_ = (
        ("images", ctypes.c_int64),
        ("pixels", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("threads", ctypes.c_int),
    )


def moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Each image's mean and (biased) variance of every channel: twice (N, C)."""
    mean, variance = tables(y, 2)
    call("moments", y, y, mean, variance)
    return mean, variance


def settle(
    y: Tensor, mean: Tensor, variance: Tensor, norm: nn.BatchNorm2d, *, squeeze: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """centre, inv, slope and level (C,), zhat and z (N, C) if asked; `norm`'s running ones move."""
    centre, inv, slope, level = rows(y, 4)
    zhat, z = tables(y, 2) if squeeze else (None, None)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    running = (norm.running_mean, norm.running_var)
    parameters = (norm.weight, norm.bias, norm.eps, norm.momentum)
    call("settle", y, mean, variance, *parameters, *running, centre, inv, slope, level, zhat, z)
    increment_version(running)  # autograd does not see what is written through an address
    return centre, inv, slope, level, zhat, z


def scale(y: Tensor, a: Tensor, b: Tensor, shortcut: Tensor | None, relu: bool) -> Tensor:
    """`a y + b`, plus the shortcut if there is one, through a ReLU if asked: (N, C, H, W)."""
    out = torch.empty_like(y)
    call("scale", y, y, a, b, stride(a), shortcut, relu, out)
    return out


def sums(
    dout: Tensor,
    y: Tensor,
    out: Tensor | None,
    a: Tensor,
    b: Tensor,
    centre: Tensor,
    inv: Tensor,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient g before the ReLU, and the sums A of g and B of g yhat: two (N, C).

    `out` is what `scale` returned if it added a shortcut. Without one g is not stored, and `dout`
    comes back in its place.
    """
    total, products = tables(y, 2)
    g = torch.empty_like(y) if relu and out is not None else dout
    call("sums", y, dout, y, out, a, b, stride(a), centre, inv, relu, g, total, products)
    return g, total, products


def finish(
    y: Tensor,
    total: Tensor,
    products: Tensor,
    excitation: tuple[Tensor, Tensor, Tensor] | None,
    slope: Tensor,
    inv: Tensor,
    training: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dweight and dbias (C,), and r and q of `combine`; `excitation` is s, dz and zhat."""
    dweight, dbias, q = rows(y, 3)
    r = rows(y, 1)[0] if excitation is None else tables(y, 1)[0]
    gate = (None, None, None) if excitation is None else excitation
    call("finish", y, total, products, *gate, slope, inv, training, dweight, dbias, r, q)
    return dweight, dbias, r, q


def combine(
    g: Tensor, y: Tensor, a: Tensor, b: Tensor, r: Tensor, q: Tensor, centre: Tensor, mask: bool
) -> Tensor:
    """`a g + q (y - centre) + r`, where `mask` says that g still has to pass the ReLU."""
    dy = torch.empty_like(y)
    call("combine", y, g, y, a, b, r, stride(a), q, centre, mask, dy)
    return dy


def tables(y: Tensor, count: int) -> tuple[Tensor, ...]:
    """Empty (N, C) tables for the maps `y`."""
    return y.new_empty((count, *y.shape[:2]), dtype=table_dtype(y)).unbind()


def rows(y: Tensor, count: int) -> tuple[Tensor, ...]:
    """Empty (C,) tables for the maps `y`."""
    return y.new_empty((count, y.shape[1]), dtype=table_dtype(y)).unbind()


def table_dtype(y: Tensor) -> torch.dtype:
    """The number type of sums over `y`."""
    return torch.float64 if y.dtype == torch.float64 else torch.float32


def channels_last(y: Tensor) -> bool:
    """Whether the maps `y` lie in memory as (N, H, W, C)."""
    return y.is_contiguous(memory_format=torch.channels_last)


def alike(y: Tensor, shortcut: Tensor) -> bool:
    """Whether the shortcut can be read beside `y`."""
    return shortcut.shape == y.shape and shortcut.dtype == y.dtype and channels_last(shortcut)


def stride(table: Tensor) -> int:
    """From one image's row to the next: 0 where all images share one."""
    return table.shape[1] if table.ndim == 2 else 0


def call(name: str, y: Tensor, *arguments: Tensor | float | None) -> None:
    """Run one pass over maps like `y`."""
    num, channels, height, width = y.shape
    shape = Shape(num, height * width, channels, torch.get_num_threads())
    plain = [v.data_ptr() if isinstance(v, Tensor) else v for v in arguments]
    function_of(name, y.dtype)(*plain, ctypes.byref(shape))


P, N, D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double  # an address, a whole number, a real
ARGUMENTS = {
    "moments": (P, P, P),
    "settle": (P, P, P, P, D, D, P, P, P, P, P, P, P, P),
    "scale": (P, P, P, N, P, N, P),
    "sums": (P, P, P, P, P, N, P, P, N, P, P, P),
    "finish": (P, P, P, P, P, P, P, N, P, P, P, P),
    "combine": (P, P, P, P, P, N, P, P, N, P),
}


@cache
def function_of(name: str, dtype: torch.dtype) -> Any:
    """The C function of this name for maps of this number type."""
    function = getattr(load_library(), f"{name}_{NAMES[dtype]}")
    function.argtypes, function.restype = (*ARGUMENTS[name], P), None
    return function
