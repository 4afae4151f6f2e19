"""MobileNet (version 1): depthwise separable convolutions, one after the other.

Howard et al., "MobileNets", https://arxiv.org/abs/1704.04861, table 1. Hu et al. do not say where
SE is in it; their counts do (docs/guide/networks.md): behind each of the 13 pointwise convolutions.

Shapes: B batch, H height, W width.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from senet_train.backbones.resnet import conv, initialise
from senet_train.backbones.slots import Backbone, Slots

# Channels and stride of each unit.
UNITS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


class SeparableUnit(Slots):
    """A 3x3 convolution in each channel (`depthwise`), then 1x1 over channels (`pointwise`).

    Slots: `pre`, `inner` behind the first's ReLU, `standard` behind the second's, as is `post`.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        before = dict.fromkeys(("pre", "inner"), in_channels)
        super().__init__(before | dict.fromkeys(("standard", "post"), channels))
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.pointwise = conv(in_channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        y = self.attend["pre"](x)
        y = self.attend["inner"](self.bn1(self.depthwise(y)).relu())
        y = self.attend["standard"](self.bn2(self.pointwise(y)).relu())
        return self.attend["post"](y)


class MobileNetV1(Backbone):
    """MobileNet of full width; `stem` is 3x3 of stride 2, or 1 for CIFAR."""

    def __init__(
        self, num_classes: int, *, stem: Literal["cifar", "imagenet"] = "imagenet"
    ) -> None:
        super().__init__()
        self.conv1 = conv(3, 32, 3, 1 if stem == "cifar" else 2)
        self.bn1 = nn.BatchNorm2d(32)
        read = (32, *(channels for channels, _ in UNITS[:-1]))
        self.units = nn.Sequential(
            *(SeparableUnit(before, *unit) for before, unit in zip(read, UNITS, strict=True))
        )
        self.fc = nn.Linear(UNITS[-1][0], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        x = self.units(self.tail(self.conv1(x), self.bn1))
        return self.fc(x.mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def by_stage(self) -> dict[int, Sequence[Slots]]:
        """The units by the size of their maps: the first alone, then 2, 2, 6 and 2."""
        found: dict[int, list[SeparableUnit]] = {}
        for unit, (_, stride) in zip(self.units, UNITS, strict=True):
            assert isinstance(unit, SeparableUnit)
            found.setdefault(len(found) + (stride == 2 or not found), []).append(unit)
        return dict(found)
