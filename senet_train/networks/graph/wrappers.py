"""Wrappers around a network: what is put into one may never be computed, or synchronised.

DistributedDataParallel knows the parameters that were there when it was made, and torch.compile the
code. So wrappers are named and refused: attention goes in first, and the wrapper around it last.
"""

import torch
from torch import nn

from senet_train.errors import InputError

# By the names of their classes, for some are imported late: where each holds the network.
WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
}


def refuse_wrapper(model: nn.Module, path: str = "") -> None:
    """Raises InputError where the model, or what holds the module at `path`, is a wrapper."""
    module: nn.Module | None = model
    for name in (*path.split("."), ""):
        if module is None:
            return
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                "torch.jit has compiled this network, and it cannot be changed any more: put "
                "attention into the network before torch.jit.script or torch.jit.trace"
            )
        held = WRAPPERS.get(type(module).__name__)
        if held and type(module).__module__.startswith("torch."):
            raise InputError(wrapper_message(module, held))
        module = module._modules.get(name)


def wrapper_message(module: nn.Module, held: str) -> str:
    """What wraps what, and where attention goes instead."""
    wrapper, inner = type(module), getattr(module, held, None)
    words = "torch.compile" if wrapper.__name__ == "OptimizedModule" else wrapper.__name__
    return (
        f"{words} wraps this network ({type(inner).__name__}): put attention into the network "
        f"itself, which is .{held} of the wrapper, and wrap it again"
    )
