"""He's CIFAR ResNets: three stages of 16, 32 and 64 channels, n blocks each, depth 6 n + 2.

Other `channels` make a plain network as large as one with attention.

He et al., https://arxiv.org/abs/1512.03385, section 4.2. The paper uses shortcut option A
(no parameters); option B (a 1x1 convolution) is what most later code has.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.backbones.resnet import BasicBlock, conv, initialise, shortcut_projection
from senet_train.backbones.slots import Backbone


class ZeroPadShortcut(nn.Module):
    """Option A: take every `stride`-th pixel and pad the missing channels with zeros."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels, self.stride = extra_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + extra_channels, H / stride, W / stride)."""
        before = self.extra_channels // 2
        pad = (0, 0, 0, 0, before, self.extra_channels - before)
        return F.pad(x[:, :, :: self.stride, :: self.stride], pad)


class CifarResNet(Backbone):
    """A CIFAR ResNet of `6 * blocks_per_stage + 2` layers for images of about 32 pixels.

    Raises ValueError unless `channels` are three widths that do not fall.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        blocks_per_stage: int,
        channels: Sequence[int] = (16, 32, 64),
        shortcut: Literal["A", "B"] = "B",
    ) -> None:
        super().__init__()
        first, second, third = three_widths(channels)
        self.conv1 = conv(3, first, 3)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = stack(first, first, blocks_per_stage, 1, shortcut)
        self.layer2 = stack(first, second, blocks_per_stage, 2, shortcut)
        self.layer3 = stack(second, third, blocks_per_stage, 2, shortcut)
        self.fc = nn.Linear(third, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        return self.fc(self.maps(x)[-1].mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        first = self.layer1(self.tail(self.conv1(images), self.bn1))
        second = self.layer2(first)
        return [first, second, self.layer3(second)]


def three_widths(channels: Sequence[int]) -> Sequence[int]:
    """`channels` if they are three and do not fall: option A has no way to drop channels."""
    if len(channels) != 3 or not 1 <= channels[0] <= channels[1] <= channels[2]:
        raise ValueError(
            f"channels={list(channels)} are not three widths, each at least 1 and none below the "
            "one before: choose for example channels=[16,32,64]"
        )
    return channels


def stack(in_channels: int, channels: int, depth: int, stride: int, shortcut: str) -> nn.Sequential:
    """One stage: `depth` blocks, the first of which changes size and channels."""
    path = shortcut_path(shortcut, in_channels, channels, stride)
    rest = [BasicBlock(channels, channels, 1, nn.Identity()) for _ in range(depth - 1)]
    return nn.Sequential(BasicBlock(in_channels, channels, stride, path), *rest)


def shortcut_path(option: str, in_channels: int, channels: int, stride: int) -> nn.Module:
    """The shortcut's own path: the identity wherever the shape stays."""
    if option == "A" and (stride, channels) != (1, in_channels):
        return ZeroPadShortcut(channels - in_channels, stride)
    return shortcut_projection(in_channels, channels, stride)


resnet8 = partial(CifarResNet, blocks_per_stage=1)  # n = 1, which the paper does not train
resnet20 = partial(CifarResNet, blocks_per_stage=3)
resnet32 = partial(CifarResNet, blocks_per_stage=5)
resnet44 = partial(CifarResNet, blocks_per_stage=7)
resnet56 = partial(CifarResNet, blocks_per_stage=9)
resnet110 = partial(CifarResNet, blocks_per_stage=18)
