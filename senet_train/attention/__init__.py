"""Attention modules: `Module(channels, *, options)` maps (B, C, H, W) to the same shape."""

from collections.abc import Callable

from torch import nn

from senet_train.attention.none import NoAttention as NoAttention
from senet_train.attention.squeeze_excite import SqueezeExcite as SqueezeExcite

# What `attention.name` may say; further names come from the entry points `senet_train.attention`.
ATTENTIONS: dict[str, Callable[..., nn.Module]] = {
    "none": NoAttention,
    "se": SqueezeExcite,
}
