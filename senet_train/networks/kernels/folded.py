"""relu(gate(mean_hw x) x + shortcut), x = norm(y), in two compiled passes forward and two back.

BatchNorm reads y twice: for its statistics, and to normalise. Statistics that are taken of each
image apart give the squeeze as well, for the mean of a normalised channel follows from the mean
of the channel. With m and v an image's mean and variance of a channel, mu and sigma^2 the batch's:

    mu = mean_n m,    sigma^2 = mean_n v + var_n m,    inv = 1 / sqrt(sigma^2 + eps)
    zhat = inv (m - mu),    z = gamma zhat + beta,    s = gate(z)
    out = relu(a y + b + shortcut),    a = s gamma inv,    b = s (beta - gamma inv mu)

Back, with g the gradient before the ReLU, yhat = inv (y - mu), M = N H W:

    A = sum_hw g,    B = sum_hw g yhat,    ds = beta A + gamma B,    dz: the gate's backward of ds
    dbeta = sum_n (s A + dz),    dgamma = sum_n (s B + zhat dz)
    dy = a g + gamma inv (dz / HW - dbeta / M - yhat dgamma / M)

Without a gate s = 1 and dz = 0. In evaluation mu and sigma^2 are the running ones, which do not
depend on y: the last two terms of dy fall away.

Shapes: N images, C channels, H height, W width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from senet_train.backbones.tail import composed
from senet_train.networks.kernels import passes
from senet_train.networks.kernels.excitation import (
    Gate,
    excite,
    gate_backward,
    has_hooks,
    is_gate,
)
from senet_train.networks.kernels.passes import NAMES, alike, channels_last, table_dtype


def folded(
    y: Tensor,
    norm: nn.BatchNorm2d,
    attention: nn.Module | None = None,
    shortcut: Tensor | None = None,
    *,
    relu: bool = True,
) -> Tensor:
    """`relu(attention(norm(y)) + shortcut)` as one function, differentiable once."""
    attention = None if isinstance(attention, nn.Identity) else attention
    if not (fits(y, norm) and can_fold(attention) and (shortcut is None or alike(y, shortcut))):
        return composed(y, norm, attention, shortcut, relu=relu)
    gate = attention.excite if is_gate(attention) else None
    parameters = () if attention is None else tuple(attention.parameters())
    out: Tensor = Fold.apply(norm, gate, relu, y, norm.weight, norm.bias, shortcut, *parameters)
    return out


def can_fold(attention: nn.Module | None) -> bool:
    """Whether attention is a gate that needs nothing but the means of its channels."""
    return attention is None or is_gate(attention)


def fits(y: Tensor, norm: nn.BatchNorm2d) -> bool:
    """Whether the compiled passes can read these maps, and know this norm.

    They read memory by address: a tensor that they would misread must not reach them.
    """
    readable = type(y) is Tensor and y.device.type == "cpu" and y.dtype in NAMES
    several = not norm.training or y.numel() > y.shape[1]  # else BatchNorm raises its own error
    return readable and several and channels_last(y) and is_usual(norm, y)


def is_usual(norm: nn.BatchNorm2d, y: Tensor) -> bool:
    """Whether `norm` is a plain BatchNorm without hooks, whose tensors fit the maps `y`."""
    if type(norm) is not nn.BatchNorm2d or norm.momentum is None or has_hooks(norm):
        return False
    tables = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return norm.num_features == y.shape[1] and all(
        table is not None and table.dtype == table_dtype(y) and table.is_contiguous()
        for table in tables
    )


@dataclass(frozen=True)
class Statistics:
    """`centre` mu, `inv`, `slope` gamma inv, `level` beta - slope mu: (C,); zhat, z: (N, C)."""

    centre: Tensor
    inv: Tensor
    slope: Tensor
    level: Tensor
    zhat: Tensor | None
    z: Tensor | None


class Fold(torch.autograd.Function):
    """`apply(norm, gate, relu, y, weight, bias, shortcut, *parameters of the gate)`."""

    @staticmethod
    def forward(
        ctx: Any,
        norm: nn.BatchNorm2d,
        gate: Gate | None,
        relu: bool,
        y: Tensor,
        weight: Tensor,
        bias: Tensor,
        shortcut: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        found = statistics(norm, y, squeeze=gate is not None)
        a, b, z, s = found.slope, found.level, None, None
        if gate is not None:
            assert found.z is not None
            z, s = excite(gate, found.z)
            a, b = s.detach() * a, s.detach() * b
        out = passes.scale(y, a, b, shortcut, relu)
        added = shortcut is not None
        tables = (found.centre, found.inv, found.slope, found.zhat, a, b)
        mask = out if added and relu else None
        ctx.save_for_backward(y, weight, bias, mask, *tables, *parameters)
        ctx.gate, ctx.options = (z, s), (norm.training, added, relu)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        y, weight, bias, out, centre, inv, slope, zhat, a, b, *parameters = ctx.saved_tensors
        (z, s), (training, added, relu) = ctx.gate, ctx.options
        dout = dout.contiguous(memory_format=torch.channels_last)
        g, total, products = passes.sums(dout, y, out, a, b, centre, inv, relu)
        excitation: tuple[Tensor, Tensor, Tensor] | None = None
        dparameters: list[Tensor | None] = []
        if s is not None:
            ds = torch.addcmul(bias * total, weight, products)
            dz, dparameters = gate_backward(s, z, parameters, ds)
            excitation = (s.detach(), dz, zhat)
        dweight, dbias, r, q = passes.finish(y, total, products, excitation, slope, inv, training)
        mask = relu and not added  # else g has passed the ReLU
        dy = passes.combine(g, y, a, b, r, q, centre, mask)
        return (None, None, None, dy, dweight, dbias, g if added else None, *dparameters)


def statistics(norm: nn.BatchNorm2d, y: Tensor, *, squeeze: bool) -> Statistics:
    """Of the batch, which also update the running ones; in evaluation the running ones."""
    if not norm.training:
        return running_statistics(norm, y, squeeze=squeeze)
    means, variances = passes.moments(y)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return Statistics(*passes.settle(y, means, variances, norm, squeeze=squeeze))


def running_statistics(norm: nn.BatchNorm2d, y: Tensor, *, squeeze: bool) -> Statistics:
    """The running ones, for evaluation."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # A copy: the backward pass needs the values of now.
    centre, inv = norm.running_mean.clone(), (norm.running_var + norm.eps).rsqrt()
    slope = norm.weight * inv
    level = torch.addcmul(norm.bias, slope, centre, value=-1)
    if not squeeze:
        return Statistics(centre, inv, slope, level, None, None)
    zhat = (passes.moments(y)[0] - centre) * inv
    return Statistics(centre, inv, slope, level, zhat, torch.addcmul(norm.bias, zhat, norm.weight))
