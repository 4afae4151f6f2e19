"""The gate behind an attention's last layer; with `identity` it is 1 at first, so that y = x.

                   plain                       with identity
    sigmoid        sigmoid(s)       0 to 1     2 sigmoid(s)       0 to 2
    hardsigmoid    hardsigmoid(s)   0 to 1     2 hardsigmoid(s)   0 to 2
    tanh           tanh(s)         -1 to 1     1 + tanh(s)        0 to 2
    relu           relu(s)          0 up       relu(1 + s)        0 up
    open           1 + sigmoid(s)   1 to 2     2 sigmoid(s)       0 to 2

On the right each is 1 at s = 0, to the bit, and has a slope there (a plain relu has none): with
the last layer at zero the attention returns its input, and that layer learns from the first step.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Gate = Callable[[Tensor], Tensor]  # element by element


def open_sigmoid(s: Tensor) -> Tensor:
    """From 1 to 2."""
    return 1 + torch.sigmoid(s)


def twice_sigmoid(s: Tensor) -> Tensor:
    """From 0 to 2, 1 at 0."""
    return 2 * torch.sigmoid(s)


def twice_hardsigmoid(s: Tensor) -> Tensor:
    """From 0 to 2, 1 at 0."""
    return 2 * F.hardsigmoid(s)


def open_tanh(s: Tensor) -> Tensor:
    """From 0 to 2, 1 at 0."""
    return 1 + torch.tanh(s)


def open_relu(s: Tensor) -> Tensor:
    """From 0 up, 1 at 0."""
    return torch.relu(1 + s)


# Plain, and with identity.
GATES: dict[str, tuple[Gate, Gate]] = {
    "sigmoid": (torch.sigmoid, twice_sigmoid),
    "hardsigmoid": (F.hardsigmoid, twice_hardsigmoid),
    "tanh": (torch.tanh, open_tanh),
    "relu": (torch.relu, open_relu),
    "open": (open_sigmoid, twice_sigmoid),
}


def gate_behind(*last: nn.Module, gate: str = "sigmoid", identity: bool) -> Gate:
    """The gate that follows the layers `last`, which `identity` sets to zero."""
    plain, one_at_zero = GATES[gate]
    if not identity:
        return plain
    start_at_zero(*last)
    return one_at_zero


def start_at_zero(*layers: nn.Module) -> None:
    """Zero every parameter of the layers; nothing is drawn."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
