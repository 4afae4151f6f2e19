"""The tail of a convolution in the compiled passes, where they fit; elsewhere as it is composed.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn

from senet_train.backbones.tail import composed
from senet_train.networks.kernels.excitation import is_gate, is_watched
from senet_train.networks.kernels.function import Fold
from senet_train.networks.kernels.passes import NAMES, alike, channels_last, table_dtype


def folded(
    y: Tensor,
    norm: nn.BatchNorm2d,
    attention: nn.Module | None = None,
    shortcut: Tensor | None = None,
    *,
    relu: bool = True,
) -> Tensor:
    """`relu(attention(norm(y)) + shortcut)` as one function, differentiable once."""
    attention = None if isinstance(attention, nn.Identity) else attention
    if not (fits(y, norm) and can_fold(attention) and (shortcut is None or alike(y, shortcut))):
        return composed(y, norm, attention, shortcut, relu=relu)
    gate = attention.excite if is_gate(attention) else None
    parameters = () if attention is None else tuple(attention.parameters())
    out: Tensor = Fold.apply(norm, gate, relu, y, norm.weight, norm.bias, shortcut, *parameters)
    return out


def can_fold(attention: nn.Module | None) -> bool:
    """Whether attention is a gate that needs nothing but the means of its channels."""
    return attention is None or is_gate(attention)


def fits(y: Tensor, norm: nn.BatchNorm2d) -> bool:
    """Whether the compiled passes can read these maps, and know this norm.

    They are given addresses: what they could misread is theirs in no case.
    """
    readable = type(y) is Tensor and y.device.type == "cpu" and y.dtype in NAMES
    several = not norm.training or y.numel() > y.shape[1]  # else BatchNorm refuses, in its words
    return readable and several and channels_last(y) and is_usual(norm, y)


def is_usual(norm: nn.BatchNorm2d, y: Tensor) -> bool:
    """Whether calling `norm` would do what BatchNorm does, with tables that fit the maps `y`."""
    if type(norm) is not nn.BatchNorm2d or norm.momentum is None or is_watched(norm):
        return False
    tables = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return norm.num_features == y.shape[1] and all(
        table is not None and table.dtype == table_dtype(y) and table.is_contiguous()
        for table in tables
    )
