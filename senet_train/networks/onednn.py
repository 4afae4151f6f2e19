"""A fault of oneDNN below torch, and how networks keep away from it.

oneDNN 3.13.3 (torch 2.15): the gradient of the weights of a strided 1x1 convolution over
channels-last maps is written past the end of a buffer, where the maps have fewer channels than a
vector register holds float32 numbers: 16 with AVX-512, 8 with AVX2. The process dies at once or
later ("double free or corruption"). docs/evidence/upstream/ has the shapes that die.

A 1x1 convolution of stride 2 reads every second pixel of every second row. So taking those pixels
first, and convolving them with stride 1, is the same layer; that one is sound.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SOUND_CHANNELS = 16  # from here on no shape was found to die
FAULTY_TYPES = (torch.float32, torch.bfloat16)  # of the maps; autocast makes one the other
EVERY_PIXEL = (1, 1)


def avoid_overruns(network: nn.Module) -> None:
    """Make every layer of the network that may have the fault keep away from it; in place.

    Weights, their names and the module's own types stay. Where a layer does not meet the fault
    (the other format, another device, no backward pass) it computes what it did, to the bit.
    """
    for module in network.modules():
        if may_overrun(module) and not any(
            isinstance(hook, TakePixels) for hook in module._forward_pre_hooks.values()
        ):
            assert isinstance(module, nn.Conv2d)
            take = TakePixels(module.stride)
            module.register_forward_pre_hook(take)
            module.register_forward_hook(take.restore, always_call=True)


def may_overrun(module: nn.Module) -> bool:
    """Whether it is a 1x1 convolution from fewer than 16 channels that leaves out pixels."""
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != EVERY_PIXEL
        and module.padding in ((0, 0), "valid")
        and module.groups == 1
        and module.in_channels < SOUND_CHANNELS
    )


def overruns(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether the gradient of the weights for these maps, (B, C, H, W), could be the faulty one."""
    gradient_to_come = torch.is_grad_enabled() and conv.weight.requires_grad
    return (
        gradient_to_come
        and x.device.type == "cpu"
        and x.dtype in FAULTY_TYPES
        and channels_last(conv, x)
    )


def channels_last(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether torch computes them channels-last: as the maps, or as the weights lie in memory.

    One channel lies in memory the same way in both formats.
    """
    return conv.in_channels == 1 or not x.is_contiguous() or conv.weight.stride(3) != 1


@dataclass(frozen=True)
class TakePixels:
    """Before the layer: the pixels that its stride would read, and a stride of 1 for the call."""

    stride: tuple[int, ...]

    def __call__(self, conv: Any, arguments: tuple[Tensor]) -> tuple[Tensor] | None:
        """(B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride)), where the fault is."""
        (x,) = arguments
        if not overruns(conv, x):
            return None
        conv.stride = EVERY_PIXEL
        return (x[:, :, :: self.stride[0], :: self.stride[1]],)

    def restore(self, conv: Any, arguments: tuple[Tensor], y: Tensor) -> None:
        """After the layer, even where it raised."""
        conv.stride = self.stride
