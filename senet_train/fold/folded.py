"""The tail of a convolution in the compiled passes, where they fit; elsewhere as it is composed.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn

from senet_train.attention.channel_gate import ChannelGate
from senet_train.backbones.tail import composed
from senet_train.fold.function import Fold
from senet_train.fold.passes import NAMES, alike, channels_last, table_dtype


def folded(
    y: Tensor,
    norm: nn.BatchNorm2d,
    attention: nn.Module | None = None,
    shortcut: Tensor | None = None,
    *,
    relu: bool = True,
) -> Tensor:
    """`relu(attention(norm(y)) + shortcut)` as one function."""
    attention = None if isinstance(attention, nn.Identity) else attention
    if not (fits(y, norm) and can_fold(attention) and (shortcut is None or alike(y, shortcut))):
        return composed(y, norm, attention, shortcut, relu=relu)
    gate = attention.excite if isinstance(attention, ChannelGate) else None
    parameters = () if attention is None else tuple(attention.parameters())
    out: Tensor = Fold.apply(norm, gate, relu, y, norm.weight, norm.bias, shortcut, *parameters)
    return out


def can_fold(attention: nn.Module | None) -> bool:
    """Whether attention is a gate that needs nothing but the means of its channels."""
    return attention is None or (isinstance(attention, ChannelGate) and attention.sees_only_means)


def fits(y: Tensor, norm: nn.BatchNorm2d) -> bool:
    """Whether the compiled passes can read these maps, and know this norm."""
    if y.device.type != "cpu" or y.dtype not in NAMES:
        return False
    usual = norm.affine and norm.track_running_stats and norm.momentum is not None
    exact = usual and norm.weight.dtype == table_dtype(y)
    several = not norm.training or y.numel() > y.shape[1]  # else BatchNorm refuses, in its words
    return exact and several and channels_last(y)
