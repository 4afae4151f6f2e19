"""`trainer.precision` as Lightning takes it, and what 16-mixed has besides: a loss scale.

float16 has no small numbers: the loss is multiplied by a scale, the gradients divided by it. Where
they overflow, no step is taken and the scale is halved; after 2000 steps without, it is doubled
(Micikevicius et al., arXiv:1710.03740). Below a scale of 1 gradients overflow by themselves.
"""

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision, Precision

from senet_train.config import schema

LEAST_SCALE = 1.0


def precision_plugin(precision: schema.Precision, device_type: str) -> Precision:
    """What casts, and scales the loss, on a device of this type: `cpu` or `cuda`.

    It is made here as Lightning would make bf16-mixed of 16-mixed on a CPU.
    """
    if precision == 32:
        return Precision()
    if precision == "bf16-mixed":
        return MixedPrecision("bf16-mixed", device_type)
    return MixedPrecision("16-mixed", device_type, torch.amp.GradScaler(device_type))


def scaler_of(trainer: pl.Trainer) -> torch.amp.GradScaler | None:
    """What scales the loss; None if nothing does."""
    plugin = trainer.precision_plugin
    return plugin.scaler if isinstance(plugin, MixedPrecision) else None


def overflows(trainer: pl.Trainer) -> bool:
    """Whether gradients overflow float16 at every scale; waits for the device if there is one."""
    scaler = scaler_of(trainer)
    return scaler is not None and scaler.get_scale() < LEAST_SCALE
