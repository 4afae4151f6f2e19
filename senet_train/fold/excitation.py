"""A gate inside a larger function: its graph is kept from the forward pass until the backward one.

Shapes: N images, C channels.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Gate = Callable[[Tensor], Tensor]  # means (N, C) -> factors (N, C)


def excite(gate: Gate, means: Tensor) -> tuple[Tensor, Tensor]:
    """The means z and s = gate(z), both (N, C), with the graph between them, in full precision."""
    z = means.requires_grad_()
    with torch.enable_grad(), torch.autocast(z.device.type, enabled=False):
        return z, gate(z).contiguous()


def gate_backward(
    s: Tensor, z: Tensor, parameters: Sequence[Tensor], ds: Tensor
) -> tuple[Tensor, list[Tensor | None]]:
    """dz, which is 0 for a gate that does not look, and the parameters' gradients."""
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    dz, *found = torch.autograd.grad(s, [z, *wanted], ds, allow_unused=True)
    gradients = iter(found)
    ordered = [next(gradients) if parameter.requires_grad else None for parameter in parameters]
    return torch.zeros_like(ds) if dz is None else dz.contiguous(), ordered
