"""ResNet-18 to ResNet-152, with torchvision's parameter names, so that its weights load.

He et al., "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385,
table 1; stride on the 3x3 convolution of a bottleneck, as torchvision has it.

Shapes: B batch, C = 3 or 64 channels, H height, W width.
"""

from functools import partial
from typing import Literal

from torch import Tensor, nn

from senet_train.backbones.slots import Backbone, ResidualBlock


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias (BatchNorm follows) that keeps the map's size at stride 1."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


def shortcut_projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Option B of the paper: a 1x1 convolution where the shape changes, else the identity."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions; `downsample` is the shortcut's own path."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module) -> None:
        super().__init__(in_channels, channels, channels)
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        shortcut = self.attend["identity"](self.downsample(x))
        y = self.attend["pre"](x)
        y = self.attend["inner"](self.tail(self.conv1(y), self.bn1))
        y = self.tail(self.conv2(y), self.bn2, self.attend["standard"], shortcut)
        return self.attend["post"](y)


class Bottleneck(ResidualBlock):
    """1x1 reduce, 3x3, 1x1 expand to four times the channels."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module) -> None:
        out_channels = channels * self.expansion
        super().__init__(in_channels, channels, out_channels)
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 * channels, H / stride, W / stride)."""
        shortcut = self.attend["identity"](self.downsample(x))
        y = self.attend["pre"](x)
        y = self.tail(self.conv1(y), self.bn1)
        y = self.attend["inner"](self.tail(self.conv2(y), self.bn2))
        y = self.tail(self.conv3(y), self.bn3, self.attend["standard"], shortcut)
        return self.attend["post"](y)


class ResNet(Backbone):
    """An ImageNet ResNet; `stem` is 7x7 stride 2 and a max pool, or 3x3 stride 1 for CIFAR."""

    def __init__(
        self,
        num_classes: int,
        *,
        block: type[BasicBlock | Bottleneck],
        depths: tuple[int, int, int, int],
        stem: Literal["cifar", "imagenet"] = "imagenet",
    ) -> None:
        super().__init__()
        small = stem == "cifar"
        self.conv1 = conv(3, 64, 3) if small else conv(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        grow = block.expansion
        self.layer1 = stack(block, 64, 64, depths[0], 1)
        self.layer2 = stack(block, 64 * grow, 128, depths[1], 2)
        self.layer3 = stack(block, 128 * grow, 256, depths[2], 2)
        self.layer4 = stack(block, 256 * grow, 512, depths[3], 2)
        self.fc = nn.Linear(512 * grow, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        return self.fc(self.maps(x)[-1].mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        first = self.layer1(self.maxpool(self.tail(self.conv1(images), self.bn1)))
        second = self.layer2(first)
        third = self.layer3(second)
        return [first, second, third, self.layer4(third)]


def stack(
    block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, depth: int, stride: int
) -> nn.Sequential:
    """One stage: `depth` blocks, the first of which changes size and channels."""
    out_channels = channels * block.expansion
    first = block(
        in_channels, channels, stride, shortcut_projection(in_channels, out_channels, stride)
    )
    rest = [block(out_channels, channels, 1, nn.Identity()) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


def initialise(network: nn.Module) -> None:
    """He initialisation by fan-out, as torchvision and the paper's code have it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


resnet18 = partial(ResNet, block=BasicBlock, depths=(2, 2, 2, 2))
resnet34 = partial(ResNet, block=BasicBlock, depths=(3, 4, 6, 3))
resnet50 = partial(ResNet, block=Bottleneck, depths=(3, 4, 6, 3))
resnet101 = partial(ResNet, block=Bottleneck, depths=(3, 4, 23, 3))
resnet152 = partial(ResNet, block=Bottleneck, depths=(3, 8, 36, 3))
