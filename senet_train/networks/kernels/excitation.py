"""A gate inside a larger function: its graph is kept from the forward pass until the backward one.

Shapes: N images, C channels.
"""

from collections.abc import Callable, Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn

from senet_train.attention.gate import ChannelGate

Gate = Callable[[Tensor], Tensor]  # means (N, C) -> factors (N, C)


def is_gate(attention: nn.Module | None) -> TypeGuard[ChannelGate]:
    """Whether calling `attention` does no more than `x * excite(mean_hw(x))`."""
    return (
        isinstance(attention, ChannelGate)
        and attention.sees_only_means
        # A subclass that overrides `forward` but not `excite` may do anything there.
        and issubclass(defining_class(attention, "excite"), defining_class(attention, "forward"))
        and not has_hooks(attention)
        # The gate's own backward would call these, and autograd once more.
        and not any(parameter._backward_hooks for parameter in attention.parameters())
    )


def defining_class(module: nn.Module, method: str) -> type:
    """The class whose definition of the method holds."""
    return next(kind for kind in type(module).__mro__ if method in vars(kind))


def has_hooks(module: nn.Module) -> bool:
    """Whether the module has hooks, which only a call of the module runs."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def excite(gate: Gate, means: Tensor) -> tuple[Tensor, Tensor]:
    """The means z and s = gate(z), both (N, C), with the graph between them, in full precision."""
    z = means.requires_grad_()
    with torch.enable_grad(), torch.autocast(z.device.type, enabled=False):
        return z, gate(z).to(z.dtype).expand_as(z).contiguous()


def gate_backward(
    s: Tensor, z: Tensor, parameters: Sequence[Tensor], ds: Tensor
) -> tuple[Tensor, list[Tensor | None]]:
    """dz, which is 0 for a gate that does not depend on z, and the parameters' gradients."""
    if not s.requires_grad:
        return torch.zeros_like(ds), [None] * len(parameters)
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    # The graph is small, and goes with the function's own unless the caller keeps that.
    dz, *found = torch.autograd.grad(s, [z, *wanted], ds, allow_unused=True, retain_graph=True)
    gradients = iter(found)
    ordered = [next(gradients) if parameter.requires_grad else None for parameter in parameters]
    return torch.zeros_like(ds) if dz is None else dz.contiguous(), ordered
