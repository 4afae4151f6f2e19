"""Networks with attention slots: `backbone(num_classes, *, options)`."""

from collections.abc import Callable
from pkgutil import resolve_name

from senet_train.backbones.slots import Backbone

# What `model.name` may say: the file and what is called there. Further names come from the entry
# points `senet_train.backbone`.
NAMES = {
    "resnet18": "resnet:resnet18",
    "resnet34": "resnet:resnet34",
    "resnet50": "resnet:resnet50",
    "resnet101": "resnet:resnet101",
    "resnet152": "resnet:resnet152",
    "resnet8": "cifar_resnet:resnet8",
    "resnet20": "cifar_resnet:resnet20",
    "resnet32": "cifar_resnet:resnet32",
    "resnet44": "cifar_resnet:resnet44",
    "resnet56": "cifar_resnet:resnet56",
    "resnet110": "cifar_resnet:resnet110",
    "preact_resnet20": "preact_resnet:preact_resnet20",
    "preact_resnet110": "preact_resnet:preact_resnet110",
    "preact_resnet164": "preact_resnet:preact_resnet164",
    "mobilenet_v1": "mobilenet_v1:MobileNetV1",
    "shufflenet_v1": "shufflenet_v1:ShuffleNetV1",
    "bn_inception": "bn_inception:BNInception",
    "csp_sppf": "csp_sppf:CSPSPPF",
    "wrn16_8": "wide_resnet:wrn16_8",
    "wrn28_10": "wide_resnet:wrn28_10",
    "shakeshake26_2x32d": "shake_shake:shakeshake26_2x32d",
    "shakeshake26_2x96d": "shake_shake:shakeshake26_2x96d",
}
BACKBONES: dict[str, Callable[..., Backbone]] = {
    name: resolve_name(f"{__name__}.{where}") for name, where in NAMES.items()
}
