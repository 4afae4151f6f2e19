"""Atrous spatial pyramid pooling with attention slots: SE-ASPP.

Chen et al., https://arxiv.org/abs/1706.05587: branches of different dilation are concatenated, and
a 1x1 convolution projects them to the width of one. `standard` follows the concatenation, `post`
the projection's activation, before dropout.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.models.segmentation.deeplabv3 import ASPP

from senet_train.backbones.slots import Backbone, Slots


class SlottedASPP(Backbone):
    """torchvision's ASPP with slots: its modules are taken over, their names are kept.

    (B, in_channels, H, W) -> (B, out_channels, H, W).
    """

    def __init__(self, aspp: ASPP) -> None:
        super().__init__()
        self.convs = aspp.convs
        self.project = aspp.project
        convolution = aspp.project[0]
        self.unit = Slots({"standard": convolution.in_channels, "post": convolution.out_channels})
        self.training = aspp.training

    def by_stage(self) -> Mapping[int, Sequence[Slots]]:
        """One stage of one unit."""
        return {1: [self.unit]}

    def forward(self, x: Tensor) -> Tensor:
        """What ASPP does, with attention on the way."""
        convolution, norm, activation, dropout = self.project
        x = torch.cat([branch(x) for branch in self.convs], dim=1)
        x = self.unit.attend["standard"](x)
        x = activation(norm(convolution(x)))
        return dropout(self.unit.attend["post"](x))
