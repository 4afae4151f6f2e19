"""Gate, addition and ReLU as one function of torch's own operations, where nothing is compiled.

    z = mean_hw x,    s = gate(z),    out = relu(s x + shortcut),    x = norm(y)

Back, with g the gradient before the ReLU: ds = sum_hw g x, dz the gate's backward of ds, and
dx = s g + dz / HW. That is six passes over maps more than without attention; autograd has 13 more.

Shapes: N images, C channels, H height, W width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from senet_train.backbones.tail import composed
from senet_train.networks.kernels.excitation import Gate, excite, gate_backward, is_gate
from senet_train.networks.kernels.passes import alike, channels_last, table_dtype


def joined(
    y: Tensor,
    norm: nn.BatchNorm2d,
    attention: nn.Module | None = None,
    shortcut: Tensor | None = None,
    *,
    relu: bool = True,
) -> Tensor:
    """`relu(attention(norm(y)) + shortcut)`, one function after the norm, differentiable once."""
    if is_gate(attention):
        added = shortcut is not None and channels_last(y) and alike(y, shortcut)
        if added and relu:
            x, parameters = norm(y), attention.parameters()
            out: Tensor = Join.apply(attention.excite, x, shortcut, *parameters)
            return out
    return composed(y, norm, attention, shortcut, relu=relu)


class Join(torch.autograd.Function):
    """`apply(gate, x, shortcut, *parameters of the gate)`."""

    @staticmethod
    def forward(ctx: Any, gate: Gate, x: Tensor, shortcut: Tensor, *parameters: Tensor) -> Tensor:
        z, s = excite(gate, x.mean((2, 3)).to(table_dtype(x)))  # (N, C, H, W) -> (N, C)
        factors = along_rows(s.detach(), x)
        out = maps(torch.addcmul(rows(shortcut), rows(x), factors).relu_(), x)
        ctx.save_for_backward(x, out, factors, *parameters)
        ctx.gate = (z, s)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        x, out, factors, *parameters = ctx.saved_tensors
        z, s = ctx.gate
        dout = dout.contiguous(memory_format=torch.channels_last)
        g = torch.ops.aten.threshold_backward(dout, out, 0)
        ds = (g * x).sum((2, 3)).to(z.dtype)  # (N, C, H, W) -> (N, C)
        dz, dparameters = gate_backward(s, z, parameters, ds)
        share = along_rows(dz / x[0, 0].numel(), x)
        dx = maps(torch.addcmul(share, rows(g), factors), x)
        return (None, dx, g, *dparameters)


def rows(x: Tensor) -> Tensor:
    """Channels-last maps as rows of numbers, (N, C, H, W) -> (N, H, W C): a view."""
    return x.permute(0, 2, 3, 1).flatten(2)


def maps(rows: Tensor, like: Tensor) -> Tensor:
    """Rows as maps again, (N, H, W C) -> (N, C, H, W): a view."""
    num, channels, height, width = like.shape
    return rows.view(num, height, width, channels).permute(0, 3, 1, 2)


def along_rows(table: Tensor, x: Tensor) -> Tensor:
    """A number for each channel, repeated for every pixel of a row: (N, C) -> (N, 1, W C).

    torch multiplies long rows fast and 16 channels at a time slowly: addcmul of 128 bfloat16 maps
    of 16 x 32 x 32 takes 0.5 ms instead of 4.2 (one thread, EPYC Zen 4).
    """
    return table.to(x.dtype).repeat(1, x.shape[3])[:, None]
