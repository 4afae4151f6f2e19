"""Segmenters: images -> a class for every pixel.

Shapes: B batch, H height, W width, K classes, the background included.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torchvision import models
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3

from senet_train.backbones.slots import Backbone
from senet_train.config.suggest import suggestion
from senet_train.errors import InputError
from senet_train.networks.graph.part import take_out_own_attention
from senet_train.networks.heads.network import (
    NetworkWithHead,
    strides_and_channels,
    without_classifier,
)

ASPP_CHANNELS = 64  # of each branch; DeepLabV3's 256 are for images of 513 pixels
RATES = (2, 4, 6)  # dilations; DeepLabV3's 12, 24, 36 leave a map of 16 pixels at once


class Segmenter(NetworkWithHead):
    """`model` gives {"out": logits} of the images' size."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        logits: Tensor = self.model(images)["out"]
        return logits


class LastMap(nn.Module):
    """A backbone as DeepLabV3 takes it: a dict with its last map."""

    def __init__(self, body: Backbone) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(B, 3, H, W) -> the last stage's map."""
        return OrderedDict(out=self.body.maps(images)[-1])


def segmenter_on(body: Backbone, num_classes: int) -> Segmenter:
    """DeepLabV3 (Chen et al., arXiv:1706.05587) on the last map of our backbone.

    Raises ValueError for a backbone that returns no maps.
    """
    _, channels = strides_and_channels(body)[-1]
    head = nn.Sequential(
        OrderedDict(
            aspp=ASPP(channels, RATES, ASPP_CHANNELS),
            logits=nn.Conv2d(ASPP_CHANNELS, num_classes, 1),
        )
    )
    return Segmenter(DeepLabV3(LastMap(without_classifier(body)), head), num_classes)


def torchvision_segmenter(name: str) -> Callable[..., Segmenter]:
    """`constructor(num_classes)` of a torchvision segmenter. Raises InputError for another name."""
    known = models.list_models(module=models.segmentation)
    if name not in known:
        raise InputError(
            f"there is no segmenter of torchvision named {name}{suggestion(name, known)}"
        )
    return partial(build, name)


def build(name: str, num_classes: int) -> Segmenter:
    """One of torchvision's, without pretrained weights and without attention of its own."""
    model = models.get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    own = take_out_own_attention(model)
    return Segmenter(model, num_classes, own)
