"""He's pre-activation CIFAR ResNets: BatchNorm and ReLU before every convolution.

    x' = x + F(x),    F's convolutions each read relu(bn(...)); none follows the addition

He et al., "Identity Mappings in Deep Residual Networks", https://arxiv.org/abs/1603.05027. Where
the shape changes, the shortcut is a 1x1 convolution of relu(bn1(x)) without BatchNorm, and a
bottleneck's stride is on its first convolution, as in https://github.com/KaimingHe/resnet-1k-layers.

Positions: `pre` after the first BatchNorm and ReLU, on the branch alone; `inner` after the 3x3
convolution's; `post` after the addition, where no ReLU follows.

Shapes: B batch, C channels, H height, W width.
"""

from abc import ABC, abstractmethod
from functools import partial

from torch import Tensor, nn

from senet_train.backbones.resnet import conv, initialise
from senet_train.backbones.slots import Backbone, ResidualBlock


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d | None:
    """A 1x1 convolution where the shape changes, else None: the shortcut is then x itself."""
    if stride == 1 and in_channels == out_channels:
        return None
    return conv(in_channels, out_channels, 1, stride)


class PreActBlock(ResidualBlock, ABC):
    """The shortcut of both blocks around their `branch`, which reads relu(bn1(x))."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, out_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.projection = projection(in_channels, out_channels, stride)

    @abstractmethod
    def branch(self, o: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        o = self.tail(x, self.bn1)
        shortcut = self.attend["identity"](x if self.projection is None else self.projection(o))
        y = self.attend["standard"](self.branch(self.attend["pre"](o)))
        return self.attend["post"](y + shortcut)


class PreActBasicBlock(PreActBlock):
    """Two 3x3 convolutions; `dropout` is before the second, for Wide ResNets."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, channels, stride)
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout: nn.Module = nn.Identity()
        self.conv2 = conv(channels, channels, 3)

    def branch(self, o: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride)."""
        y = self.attend["inner"](self.tail(self.conv1(o), self.bn2))
        return self.conv2(self.dropout(y))


class PreActBottleneck(PreActBlock):
    """1x1 reduce, 3x3, 1x1 expand to four times the channels."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        out_channels = channels * self.expansion
        super().__init__(in_channels, channels, out_channels, stride)
        self.conv1 = conv(in_channels, channels, 1, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, out_channels, 1)

    def branch(self, o: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 * channels, H / stride, W / stride)."""
        y = self.conv2(self.tail(self.conv1(o), self.bn2))
        return self.conv3(self.attend["inner"](self.tail(y, self.bn3)))


class PreActResNet(Backbone):
    """Three stages whose 3x3 convolutions have `widths` channels; BatchNorm and ReLU at the end."""

    def __init__(
        self,
        num_classes: int,
        *,
        block: type[PreActBasicBlock | PreActBottleneck],
        blocks_per_stage: int,
        widths: tuple[int, int, int],
    ) -> None:
        super().__init__()
        first, second, third = (width * block.expansion for width in widths)
        self.conv1 = conv(3, 16, 3)
        self.layer1 = stack(block, 16, widths[0], blocks_per_stage, 1)
        self.layer2 = stack(block, first, widths[1], blocks_per_stage, 2)
        self.layer3 = stack(block, second, widths[2], blocks_per_stage, 2)
        self.bn = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, num_classes)."""
        return self.fc(self.maps(x)[-1].mean((2, 3)))  # (B, C, H, W) -> (B, C) -> (B, num_classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The last one behind the network's last norm and ReLU, the others without either."""
        first = self.layer1(self.conv1(images))
        second = self.layer2(first)
        return [first, second, self.tail(self.layer3(second), self.bn)]


def stack(
    block: type[PreActBasicBlock | PreActBottleneck],
    in_channels: int,
    channels: int,
    depth: int,
    stride: int,
) -> nn.Sequential:
    """One stage: `depth` blocks, the first of which changes size and channels."""
    out_channels = channels * block.expansion
    rest = [block(out_channels, channels, 1) for _ in range(depth - 1)]
    return nn.Sequential(block(in_channels, channels, stride), *rest)


he_cifar = partial(PreActResNet, widths=(16, 32, 64))
preact_resnet20 = partial(he_cifar, block=PreActBasicBlock, blocks_per_stage=3)
preact_resnet110 = partial(he_cifar, block=PreActBasicBlock, blocks_per_stage=18)
preact_resnet164 = partial(he_cifar, block=PreActBottleneck, blocks_per_stage=18)
