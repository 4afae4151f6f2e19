"""Attention modules: `Module(channels, *, options)` maps (B, C, H, W) to the same shape."""

from collections.abc import Callable
from pkgutil import resolve_name

from torch import nn

from senet_train.attention.bottleneck_attention import BottleneckAttention as BottleneckAttention
from senet_train.attention.controls import NoAttention as NoAttention
from senet_train.attention.controls import ShuffledSqueezeExcite as ShuffledSqueezeExcite
from senet_train.attention.controls import StaticGate as StaticGate
from senet_train.attention.convolutional_block import (
    ConvolutionalBlockAttention as ConvolutionalBlockAttention,
)
from senet_train.attention.coordinate import CoordinateAttention as CoordinateAttention
from senet_train.attention.effective_squeeze_excite import (
    EffectiveSqueezeExcite as EffectiveSqueezeExcite,
)
from senet_train.attention.efficient_channel import (
    EfficientChannelAttention as EfficientChannelAttention,
)
from senet_train.attention.frequency_channel import (
    FrequencyChannelAttention as FrequencyChannelAttention,
)
from senet_train.attention.gated_channel import (
    GatedChannelTransformation as GatedChannelTransformation,
)
from senet_train.attention.gather_excite import GatherExcite as GatherExcite
from senet_train.attention.gather_excite import GatherExciteTheta as GatherExciteTheta
from senet_train.attention.gather_excite import GatherExciteThetaPlus as GatherExciteThetaPlus
from senet_train.attention.global_context import GlobalContext as GlobalContext
from senet_train.attention.non_local import NonLocal as NonLocal
from senet_train.attention.simple import SimpleAttention as SimpleAttention
from senet_train.attention.spatial_channel import (
    SpatialChannelSqueezeExcite as SpatialChannelSqueezeExcite,
)
from senet_train.attention.spatial_group import SpatialGroupEnhance as SpatialGroupEnhance
from senet_train.attention.squeeze_excite import SqueezeExcite as SqueezeExcite
from senet_train.attention.style_recalibration import StyleRecalibration as StyleRecalibration

# What `attention.name` may say: the file and the class. Further names come from the entry points
# `senet_train.attention`. The imports above are for typing `from senet_train.attention import`.
NAMES = {
    "none": "controls:NoAttention",
    # Controls: what is left when the gate does not see the image, or sees another one.
    "static": "controls:StaticGate",
    "shuffled": "controls:ShuffledSqueezeExcite",
    # Over channels.
    "se": "squeeze_excite:SqueezeExcite",
    "ese": "effective_squeeze_excite:EffectiveSqueezeExcite",
    "eca": "efficient_channel:EfficientChannelAttention",
    "fca": "frequency_channel:FrequencyChannelAttention",
    "gct": "gated_channel:GatedChannelTransformation",
    "srm": "style_recalibration:StyleRecalibration",
    # Over channels and pixels.
    "bam": "bottleneck_attention:BottleneckAttention",
    "cbam": "convolutional_block:ConvolutionalBlockAttention",
    "coord": "coordinate:CoordinateAttention",
    "ge": "gather_excite:GatherExcite",
    "ge_theta": "gather_excite:GatherExciteTheta",
    "ge_theta_plus": "gather_excite:GatherExciteThetaPlus",
    "scse": "spatial_channel:SpatialChannelSqueezeExcite",
    "sge": "spatial_group:SpatialGroupEnhance",
    "simam": "simple:SimpleAttention",
    # Over pixels.
    "gc": "global_context:GlobalContext",
    "nonlocal": "non_local:NonLocal",
}
ATTENTIONS: dict[str, Callable[..., nn.Module]] = {
    name: resolve_name(f"{__name__}.{where}") for name, where in NAMES.items()
}
