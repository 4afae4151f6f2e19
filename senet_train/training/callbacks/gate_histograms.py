"""A histogram of the gates of each stage after every validation, for TensorBoard.

Shapes: B images, H height, W width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from senet_train.data.loaders import Batch
from senet_train.networks.insertion import Slot
from senet_train.networks.watch import channel_gates, watched
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner

MOST_IMAGES = 128


class GateHistograms(pl.Callback):
    """Computes the gates of the first validation images, with the weights just evaluated.

    Those are the averaged weights if there are any. It is a forward pass of its own, so that the
    pass that is evaluated keeps the folded kernel and its bits.
    """

    def __init__(self, slots: Sequence[Slot], journal: Journal) -> None:
        self.slots, self.journal = slots, journal
        self.images: Tensor | None = None  # (B, 3, H, W), between a validation's start and end

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, i: int, *_: Any
    ) -> None:
        if i == 0:
            self.images = batch[0][:MOST_IMAGES]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        assert self.images is not None
        with trainer.precision_plugin.forward_context():
            found = effective_gates(pl_module.network, self.slots, self.images)
        self.images = None
        for stage, gates in found.items():
            self.journal.write_histogram(f"gates/stage{stage}", gates, pl_module.progress.epoch)


def effective_gates(
    network: nn.Module, slots: Sequence[Slot], images: Tensor
) -> Mapping[int, NDArray[np.float32]]:
    """By stage, the factor of every image and channel in all filled slots, (num_gates,).

    A map of zeros has no factor. `network` must be in evaluation mode.
    """
    assert not network.training
    stage_of = {slot.name: slot.stage for slot in slots}
    gates: dict[int, list[Tensor]] = {stage: [] for stage in sorted(set(stage_of.values()))}

    def collect(name: str, x: Tensor, y: Tensor) -> None:
        s, nonzero = channel_gates(x, y)
        gates[stage_of[name]].append(s[(nonzero > 0) & s.isfinite()])

    with watched(network, slots, collect), torch.inference_mode():
        network(images)
    return {stage: torch.cat(parts).float().cpu().numpy() for stage, parts in gates.items()}
