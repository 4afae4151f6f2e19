"""Shake-Shake 26: two residual branches, mixed at random for each image, anew for its gradient.

    x' = shortcut(x) + a F1(x) + (1 - a) F2(x),    a from [0, 1); b in its place on the way back;
                                                   both are 1 / 2 in evaluation

Gastaldi, https://arxiv.org/abs/1705.07485, Shake-Shake-Image; order of layers and shortcut as in
https://github.com/xgastaldi/shake-shake: a branch is ReLU, convolution, BatchNorm, twice.

Hu et al. (table 6) do not say where SE is. Here `standard` is behind the mixture: the unit's
residual is what both branches make together, and one SE sees it, as in any other unit. `pre`
follows the branches' first ReLU; there is no `inner`, which would be two.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.backbones.resnet import conv, initialise
from senet_train.backbones.slots import Backbone, Slots

Mix = Callable[[Tensor, Tensor], Tensor]


class Mixture(torch.autograd.Function):
    """Mixes by `alpha` in the forward pass and by `beta` in the backward pass."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """Maps (B, C, H, W) twice, shares of the first (B, 1, 1, 1) twice -> (B, C, H, W)."""
        ctx.save_for_backward(beta)
        return alpha * first + (1 - alpha) * second

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The gradients of both branches; the shares have none."""
        [beta] = ctx.saved_tensors
        return beta * grad, (1 - beta) * grad, None, None


class Mixing(nn.Module):
    """Draws all numbers of a batch before any layer, so that attention that draws shifts none."""

    def __init__(self, num_blocks: int) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        self.part, self.num_parts = 0, 1  # its images of the batch: [part::num_parts]

    def forward(self, x: Tensor) -> list[Mix]:
        """The function by which each block mixes its branches, for a batch (B, ...)."""
        if not self.training:
            return [half_of_each] * self.num_blocks
        # The global generator: the classifier seeds it at every step, keyed by (seed, step).
        size = (self.num_blocks, 2, len(x) * self.num_parts, 1, 1, 1)
        drawn = torch.rand(size, device=x.device)[:, :, self.part :: self.num_parts]
        return [by_chance(alpha, beta) for alpha, beta in drawn]


def half_of_each(first: Tensor, second: Tensor) -> Tensor:
    """(B, C, H, W) twice -> (B, C, H, W)."""
    return (first + second) / 2


def by_chance(alpha: Tensor, beta: Tensor) -> Mix:
    """A mixture with these shares of the first branch, (B, 1, 1, 1) each."""

    def mix(first: Tensor, second: Tensor) -> Tensor:
        """(B, C, H, W) twice -> (B, C, H, W)."""
        shares = alpha.to(first.dtype), beta.to(first.dtype)
        mixed: Tensor = Mixture.apply(first, second, *shares)
        return mixed

    return mix


class TwoPaths(nn.Module):
    """The shortcut where the shape changes: two 1x1 convolutions, of pixels next to each other."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = conv(in_channels, channels // 2, 1)
        self.conv2 = conv(in_channels, channels // 2, 1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, o: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        shifted = F.pad(o, (1, -1, 1, -1))  # a pixel to the right and down
        first, second = (y[:, :, :: self.stride, :: self.stride] for y in (o, shifted))
        return self.bn(torch.cat([self.conv1(first), self.conv2(second)], 1))


class ShakeBlock(Slots):
    """Two branches of two 3x3 convolutions each."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        after = dict.fromkeys(("standard", "identity", "post"), channels)
        super().__init__({"pre": in_channels} | after)
        self.branch1 = branch(in_channels, channels, stride)
        self.branch2 = branch(in_channels, channels, stride)
        same = (stride, in_channels) == (1, channels)
        self.two_paths = None if same else TwoPaths(in_channels, channels, stride)

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        o = x.relu()
        shortcut = self.attend["identity"](x if self.two_paths is None else self.two_paths(o))
        o = self.attend["pre"](o)
        y = self.attend["standard"](mix(self.branch1(o), self.branch2(o)))
        return self.attend["post"](shortcut + y)


def branch(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """What follows the first ReLU, which both branches share."""
    return nn.Sequential(
        conv(in_channels, channels, 3, stride),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        conv(channels, channels, 3),
        nn.BatchNorm2d(channels),
    )


class ShakeShake(Backbone):
    """Three stages of `width`, 2 and 4 times `width` channels, for images of about 32 pixels."""

    def __init__(self, num_classes: int, *, width: int, blocks_per_stage: int) -> None:
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        self.bn1 = nn.BatchNorm2d(16)
        self.blocks = nn.ModuleList()
        read = 16
        for stage in range(3):
            channels, stride = width * 2**stage, 1 if stage == 0 else 2
            self.blocks.append(ShakeBlock(read, channels, stride))
            self.blocks.extend(
                ShakeBlock(channels, channels, 1) for _ in range(1, blocks_per_stage)
            )
            read = channels
        self.mixing = Mixing(len(self.blocks))
        self.fc = nn.Linear(read, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        ways = self.mixing(x)
        x = self.bn1(self.conv1(x))
        for block, mix in zip(self.blocks, ways, strict=True):
            x = block(x, mix)
        return self.fc(x.relu().mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def by_stage(self) -> dict[int, list[ShakeBlock]]:
        """Three, of equally many blocks."""
        blocks = [block for block in self.blocks if isinstance(block, ShakeBlock)]
        length = len(blocks) // 3
        return {stage + 1: blocks[stage * length : (stage + 1) * length] for stage in range(3)}


shakeshake26_2x32d = partial(ShakeShake, width=32, blocks_per_stage=4)
shakeshake26_2x96d = partial(ShakeShake, width=96, blocks_per_stage=4)
