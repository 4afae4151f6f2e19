"""BN-Inception: ten Inception modules, BatchNorm behind each convolution.

Ioffe and Szegedy, "Batch Normalization", https://arxiv.org/abs/1502.03167, the appendix's
table, but for 4c and 4d, which have 608 channels as in the Caffe models that were trained since
(docs/guide/networks.md). Attention follows a module's concatenation: Hu et al., section 3.3.

Shapes: B batch, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from senet_train.backbones.resnet import conv, initialise
from senet_train.backbones.slots import Backbone, Slots


@dataclass(frozen=True)
class Widths:
    """Channels of a module's branches; `single` and `double` begin with a 1x1 convolution.

    Without a convolution behind its pool a module has stride 2 and a maximum pool.
    """

    one: int
    single: tuple[int, int]
    double: tuple[int, int]
    pool: Literal["avg", "max"]
    pooled: int

    @property
    def stride(self) -> int:
        """Of the whole module."""
        return 1 if self.pooled else 2


MODULES = {
    "3a": Widths(64, (64, 64), (64, 96), "avg", 32),
    "3b": Widths(64, (64, 96), (64, 96), "avg", 64),
    "3c": Widths(0, (128, 160), (64, 96), "max", 0),
    "4a": Widths(224, (64, 96), (96, 128), "avg", 128),
    "4b": Widths(192, (96, 128), (96, 128), "avg", 128),
    "4c": Widths(160, (128, 160), (128, 160), "avg", 128),
    "4d": Widths(96, (128, 192), (160, 192), "avg", 128),
    "4e": Widths(0, (128, 192), (192, 256), "max", 0),
    "5a": Widths(352, (192, 320), (160, 224), "avg", 128),
    "5b": Widths(352, (192, 320), (192, 224), "max", 128),
}


def layer(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        conv(in_channels, channels, kernel, stride), nn.BatchNorm2d(channels), nn.ReLU()
    )


class InceptionModule(Slots):
    """Four branches side by side, three where it has stride 2; `standard` follows all of them."""

    def __init__(self, in_channels: int, widths: Widths) -> None:
        single_in, single = widths.single
        double_in, double = widths.double
        stride, channels = widths.stride, widths.one + single + double
        channels += widths.pooled or in_channels
        super().__init__({"pre": in_channels, "standard": channels, "post": channels})
        first = [layer(in_channels, widths.one, 1)] if widths.one else []
        last = [layer(in_channels, widths.pooled, 1)] if widths.pooled else []
        self.branches = nn.ModuleList(
            [
                *first,
                nn.Sequential(
                    layer(in_channels, single_in, 1), layer(single_in, single, 3, stride)
                ),
                nn.Sequential(
                    layer(in_channels, double_in, 1),
                    layer(double_in, double, 3),
                    layer(double, double, 3, stride),
                ),
                nn.Sequential(pool_of(widths), *last),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        x = self.attend["pre"](x)
        y = torch.cat([branch(x) for branch in self.branches], 1)
        return self.attend["post"](self.attend["standard"](y))


def pool_of(widths: Widths) -> nn.Module:
    """3x3, of the module's stride."""
    if widths.pool == "avg":
        return nn.AvgPool2d(3, widths.stride, 1)
    return nn.MaxPool2d(3, widths.stride, 1)


class BNInception(Backbone):
    """For images of 224 pixels; `stem` cifar is a 3x3 convolution to 192 channels, no pool."""

    def __init__(
        self, num_classes: int, *, stem: Literal["cifar", "imagenet"] = "imagenet"
    ) -> None:
        super().__init__()
        self.stem = layer(3, 192, 3) if stem == "cifar" else imagenet_stem()
        built, channels = [], 192
        for widths in MODULES.values():
            built.append(InceptionModule(channels, widths))
            channels = built[-1].slot_channels["post"]
        self.inception = nn.ModuleDict(dict(zip(MODULES, built, strict=True)))
        self.fc = nn.Linear(channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        x = self.stem(x)
        for module in self.inception.values():
            x = module(x)
        return self.fc(x.mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def by_stage(self) -> dict[int, Sequence[Slots]]:
        """Modules by the size of their maps: 3a and 3b, 3c to 4d, 4e to 5b."""
        found: dict[int, list[Slots]] = {1: []}
        for name, module in self.inception.items():
            assert isinstance(module, Slots)
            found.setdefault(len(found) + (MODULES[name].stride == 2), []).append(module)
        return dict(found)


def imagenet_stem() -> nn.Sequential:
    """7x7 of stride 2, 1x1, 3x3, a pool of stride 2 behind the first and the last."""
    return nn.Sequential(
        layer(3, 64, 7, 2),
        nn.MaxPool2d(3, 2, 1),
        layer(64, 64, 1),
        layer(64, 192, 3),
        nn.MaxPool2d(3, 2, 1),
    )
