"""A small detector's backbone: cross-stage-partial blocks, and a pyramid of pools at the end.

Wang et al., "CSPNet", https://arxiv.org/abs/1911.11929: half of a stage's channels go through
its residual blocks, the others round them, a 1x1 convolution joins both. He et al., "Spatial
Pyramid Pooling", https://arxiv.org/abs/1406.4729, as YOLO has it (Terven et al.,
https://arxiv.org/abs/2304.00501): maximum pools of 5, 9 and 13 pixels with stride 1, here three of
5 in a row (SPPF). Widths and depths are YOLOv5s's. Its users' tutorials put one SE layer in front
of SPPF (stage 5 at `pre`) or behind it (`standard`).

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from senet_train.backbones.resnet import conv, initialise
from senet_train.backbones.slots import Backbone, Slots

STEM = 32  # channels
STAGES = {64: 1, 128: 2, 256: 3, 512: 1}  # channels of a stage: residual blocks in it


def layer(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, SiLU."""
    return nn.Sequential(
        conv(in_channels, channels, kernel, stride), nn.BatchNorm2d(channels), nn.SiLU()
    )


class Residual(nn.Module):
    """1x1, 3x3, and a shortcut around both; nothing follows the addition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(layer(channels, channels, 1), layer(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.branch(x)


class CSPBlock(Slots):
    """Residual blocks for half of the channels; `standard` is at its end, as is `post`."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__(dict.fromkeys(("pre", "standard", "post"), channels))
        half = channels // 2
        self.through = nn.Sequential(
            layer(channels, half, 1), *(Residual(half) for _ in range(depth))
        )
        self.round = layer(channels, half, 1)
        self.join = layer(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        x = self.attend["pre"](x)
        y = self.join(torch.cat([self.through(x), self.round(x)], 1))
        return self.attend["post"](self.attend["standard"](y))


class SPPF(Slots):
    """Pools that see 5, 9 and 13 pixels, side by side with what they pool."""

    def __init__(self, channels: int) -> None:
        super().__init__(dict.fromkeys(("pre", "standard", "post"), channels))
        half = channels // 2
        self.reduce = layer(channels, half, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = layer(4 * half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        maps = [self.reduce(self.attend["pre"](x))]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        y = self.join(torch.cat(maps, 1))  # 4 x (B, C / 2, H, W) -> (B, C, H, W)
        return self.attend["post"](self.attend["standard"](y))


class CSPSPPF(Backbone):
    """Four stages and SPPF, which is stage 5; `map_channels` are those of `maps`.

    `stem` imagenet: stages of stride 4, 8, 16 and 32. cifar: 1, 2, 4 and 8.
    """

    map_channels = tuple(STAGES)[1:]

    def __init__(
        self, num_classes: int, *, stem: Literal["cifar", "imagenet"] = "imagenet"
    ) -> None:
        super().__init__()
        small = stem == "cifar"
        self.stem = layer(3, STEM, 3) if small else wide_stem()
        self.body = nn.Sequential()
        read, stride = STEM, 1 if small else 2
        for channels, depth in STAGES.items():
            down = layer(read, channels, 3, stride)
            self.body.append(nn.Sequential(down, CSPBlock(channels, depth)))
            read, stride = channels, 2
        self.sppf = SPPF(read)
        self.fc = nn.Linear(read, num_classes)
        initialise(self)

    def maps(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> the maps that a detector reads: stages 2 and 3, and SPPF.

        (B, 128, H / 8, W / 8), (B, 256, H / 16, W / 16), (B, 512, H / 32, W / 32); with the cifar
        stem four times as high and as wide.
        """
        x, found = self.stem(images), []
        for stage in self.body:
            x = stage(x)
            found.append(x)
        return [*found[1:-1], self.sppf(x)]

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        return self.fc(self.maps(x)[-1].mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def by_stage(self) -> dict[int, Sequence[Slots]]:
        """Five of one unit each: four blocks, and SPPF."""
        units = [unit for unit in self.modules() if isinstance(unit, Slots)]
        return {stage: [unit] for stage, unit in enumerate(units, start=1)}


def wide_stem() -> nn.Sequential:
    """6x6 of stride 2, which halves an even size."""
    convolution = nn.Conv2d(3, STEM, 6, 2, 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(STEM), nn.SiLU())
