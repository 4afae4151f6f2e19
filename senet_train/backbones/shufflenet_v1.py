"""ShuffleNet (version 1) of full width with 3 groups: grouped 1x1 convolutions and a shuffle.

Zhang et al., "ShuffleNet", https://arxiv.org/abs/1707.01083, table 1 and figure 2. SE is at the end
of a unit's branch, before the addition or the concatenation: Hu et al., table 3, by its parameters.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.backbones.resnet import conv, initialise
from senet_train.backbones.slots import Backbone, Slots

GROUPS = 3
STAGES = {240: 4, 480: 8, 960: 4}  # channels of a stage: units in it


def grouped(in_channels: int, channels: int, groups: int = GROUPS) -> nn.Conv2d:
    """A 1x1 convolution inside each group."""
    return nn.Conv2d(in_channels, channels, 1, groups=groups, bias=False)


class ShuffleUnit(Slots):
    """1x1, shuffle, 3x3 in each channel, 1x1; added to its input, or with stride 2 put beside it.

    `inner` is behind the 3x3 convolution's BatchNorm: there is no ReLU.
    """

    def __init__(self, in_channels: int, channels: int, first_groups: int = GROUPS) -> None:
        strided = in_channels != channels
        hidden = channels // 4
        branch = channels - in_channels if strided else channels
        super().__init__(
            dict.fromkeys(("pre", "identity"), in_channels)
            | {"inner": hidden, "standard": branch, "post": channels}
        )
        self.strided = strided
        self.conv1 = grouped(in_channels, hidden, first_groups)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, 2 if strided else 1, 1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = grouped(hidden, branch)
        self.bn3 = nn.BatchNorm2d(branch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        y = F.channel_shuffle(self.bn1(self.conv1(self.attend["pre"](x))).relu(), GROUPS)
        y = self.attend["inner"](self.bn2(self.conv2(y)))
        y = self.attend["standard"](self.bn3(self.conv3(y)))
        shortcut = F.avg_pool2d(x, 3, 2, 1) if self.strided else x
        shortcut = self.attend["identity"](shortcut)
        joined = torch.cat([shortcut, y], 1) if self.strided else shortcut + y
        return self.attend["post"](joined.relu())


class ShuffleNetV1(Backbone):
    """`stem` is 3x3 of stride 2 and a pool of stride 2, or for CIFAR 3x3 of stride 1 alone."""

    def __init__(
        self, num_classes: int, *, stem: Literal["cifar", "imagenet"] = "imagenet"
    ) -> None:
        super().__init__()
        small = stem == "cifar"
        self.conv1 = conv(3, 24, 3, 1 if small else 2)
        self.bn1 = nn.BatchNorm2d(24)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        read, layers = 24, []
        for channels, depth in STAGES.items():
            # 24 channels are few: the paper groups none of them in the first convolution.
            first = ShuffleUnit(read, channels, 1 if read == 24 else GROUPS)
            rest = [ShuffleUnit(channels, channels) for _ in range(depth - 1)]
            layers.append(nn.Sequential(first, *rest))
            read = channels
        self.units = nn.Sequential(*layers)
        self.fc = nn.Linear(read, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        x = self.units(self.maxpool(self.tail(self.conv1(x), self.bn1)))
        return self.fc(x.mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def by_stage(self) -> dict[int, Sequence[Slots]]:
        """Three: what the paper calls stages 2, 3 and 4."""
        return {
            stage: [unit for unit in layer.children() if isinstance(unit, Slots)]
            for stage, layer in enumerate(self.units, start=1)
        }
