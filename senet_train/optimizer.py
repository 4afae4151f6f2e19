"""Which parameters SGD moves, at which rate, and which of them decay."""

from typing import Any

from torch import nn

from senet_train.config import Optim
from senet_train.finetune import EVERYTHING


def parameter_groups(
    network: nn.Module, optim: Optim, new: tuple[str, ...] = EVERYTHING
) -> list[dict[str, Any]]:
    """Weights that decay, and (unless `decay_norm_and_bias`) vectors that do not.

    The backbone has groups of its own, the last ones, if its rate is another.
    """
    slower = optim.backbone_lr_factor != 1
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    first = [p for name, p in named if name.startswith(new) or not slower]
    backbone = [p for name, p in named if slower and not name.startswith(new)]
    lr = optim.lr * optim.backbone_lr_factor
    return [
        *decaying_groups(first, optim),
        *({**group, "lr": lr} for group in decaying_groups(backbone, optim)),
    ]


def decaying_groups(parameters: list[nn.Parameter], optim: Optim) -> list[dict[str, Any]]:
    """One or two of them, by whether they decay; none without parameters."""
    decayed = [p for p in parameters if p.ndim > 1 or optim.decay_norm_and_bias]
    vectors = [p for p in parameters if p.ndim <= 1 and not optim.decay_norm_and_bias]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
