"""Detectors: images -> boxes with a class and a score each.

Shapes: B batch, H height, W width, K classes, the background included.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork

from senet_train.backbones.slots import Backbone
from senet_train.config.suggest import suggestion
from senet_train.errors import InputError
from senet_train.networks.graph.part import take_out_own_attention
from senet_train.networks.heads.network import (
    NetworkWithHead,
    strides_and_channels,
    without_classifier,
)

PYRAMID_CHANNELS = 64  # FCOS's 256 are for images of 800 pixels
SMALLEST_STRIDE = 4  # of a map with boxes: on larger ones the head would be all of the cost
# Our images are normalised already.
NO_NORMALISATION = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
NOT_FOR_BOXES = ("maskrcnn", "keypointrcnn")


Target = dict[str, Tensor]  # boxes (K, 4) and labels (K,): see data/scenes.py


class KeepSize(GeneralizedRCNNTransform):
    """The transform with which torchvision's detectors begin, without its resizing."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        """Returns both as they are."""
        return image, target


class Detector(NetworkWithHead):
    """`model` is torchvision's: a list of images, and in training their targets."""

    def forward(self, images: Tensor) -> Any:
        """(B, 3, H, W) -> for each image boxes (N, 4), labels (N,) and scores (N,).

        On the meta device, for shapes and counts: what `dense` computes. Which boxes are kept
        depends on values, and there are none.
        """
        if images.is_meta:
            return self.dense(images)
        return self.model(list(images))

    def dense(self, images: Tensor) -> Any:
        """The outputs of the heads that see whole maps, for images (B, 3, H, W)."""
        fixed = getattr(self.model.transform, "fixed_size", None)  # of SSD
        if fixed:
            images = F.interpolate(images, fixed[::-1])
        maps = self.model.backbone(images)
        two_stage = hasattr(self.model, "rpn")
        head = self.model.rpn.head if two_stage else self.model.head
        return head(list(maps.values()))

    def loss(self, images: Tensor, targets: list[Target]) -> Tensor:
        """The sum of the model's losses, ()."""
        losses: dict[str, Tensor] = self.model(list(images), targets)
        return sum(losses.values(), start=images.new_zeros(()))


class Pyramid(nn.Module):
    """A backbone's maps as a feature pyramid (Lin et al., arXiv:1612.03144)."""

    def __init__(self, body: Backbone, channels: list[int]) -> None:
        super().__init__()
        self.num_maps, self.out_channels = len(channels), PYRAMID_CHANNELS
        self.body, self.fpn = body, FeaturePyramidNetwork(channels, PYRAMID_CHANNELS)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(B, 3, H, W) -> maps of PYRAMID_CHANNELS each, the largest first."""
        maps = self.body.maps(images)[-self.num_maps :]
        named = OrderedDict((str(number), found) for number, found in enumerate(maps))
        pyramid: OrderedDict[str, Tensor] = self.fpn(named)
        return pyramid


def detector_on(body: Backbone, num_classes: int) -> Detector:
    """FCOS (Tian et al., arXiv:1904.01355) on the maps of our backbone, from stride 4 on.

    Raises ValueError for a backbone without such maps.
    """
    maps = [found for found in strides_and_channels(body) if found[0] >= SMALLEST_STRIDE]
    if not maps:
        raise ValueError(f"{type(body).__name__} has no map of stride 4 or more: choose another")
    pyramid = Pyramid(without_classifier(body), [channels for _, channels in maps])
    anchors = AnchorGenerator(tuple((stride,) for stride, _ in maps), ((1.0,),) * len(maps))
    model = FCOS(pyramid, num_classes, anchor_generator=anchors, **NO_NORMALISATION)
    return Detector(without_resizing(model), num_classes)


def without_resizing(model: nn.Module) -> nn.Module:
    """The model, changed so that it does not resize images."""
    model.transform = KeepSize(1, 1, **NO_NORMALISATION)
    return model


def torchvision_detector(name: str) -> Callable[..., Detector]:
    """`constructor(num_classes)` of a detector of torchvision.

    Raises InputError for an unknown name, and for a model that learns more than boxes.
    """
    known = models.list_models(module=models.detection)
    if name not in known:
        raise InputError(
            f"there is no detector of torchvision named {name}{suggestion(name, known)}"
        )
    if name.startswith(NOT_FOR_BOXES):
        raise InputError(
            f"model.name={name} learns masks or keypoints besides boxes: choose a detector of "
            "boxes, such as fcos_resnet50_fpn"
        )
    return partial(build, name)


def build(name: str, num_classes: int) -> Detector:
    """One of torchvision's, without pretrained weights and without attention of its own.

    SSD still resizes images: its boxes are made for one size.
    """
    options: dict[str, Any] = {"weights": None, "weights_backbone": None}
    model = models.get_model(name, num_classes=num_classes, **options, **NO_NORMALISATION)
    own = take_out_own_attention(model)
    fixed = name.startswith("ssd")
    return Detector(model if fixed else without_resizing(model), num_classes, own)
