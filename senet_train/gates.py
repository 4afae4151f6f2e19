"""What the gates do while a network trains: a histogram for each stage after every validation.

Shapes: B images, C channels, H height, W width.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from senet_train.classifier import ImageClassifier
from senet_train.data.loaders import Batch
from senet_train.insert import Slot
from senet_train.journal import Journal

MOST_IMAGES = 128


class GateHistograms(pl.Callback):
    """Looks at the gates of the first validation images again, with the weights just evaluated.

    Those are the averaged ones where there are any: the network holds them while it is validated.
    A pass of its own, so that the one that counts keeps the folded kernel and its bits.
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
        assert isinstance(pl_module, ImageClassifier)
        assert self.images is not None
        with trainer.precision_plugin.forward_context():
            found = effective_gates(pl_module.network, self.slots, self.images)
        self.images = None
        for stage, gates in found.items():
            self.journal.write_histogram(f"gates/stage{stage}", gates, pl_module.progress.epoch)


def effective_gates(
    network: nn.Module, slots: Sequence[Slot], images: Tensor
) -> Mapping[int, NDArray[np.float32]]:
    """By stage, the gate of every image and channel in all filled slots: finite, (num_gates,).

    It is the factor that takes a map nearest to what attention makes of it,
    sum_hw(x y) / sum_hw(x x): the gate itself of whatever scales a channel, a mean over pixels of
    what scales them apart. A map that is all zero has none. `network` is in evaluation mode.
    """
    assert not network.training
    gates: dict[int, list[Tensor]] = defaultdict(list)

    def note(stage: int, module: nn.Module, inputs: tuple[Tensor], y: Tensor) -> None:
        gates[stage].append(factors(inputs[0].float(), y.float()))

    handles = [
        network.get_submodule(slot.name).register_forward_hook(partial(note, slot.stage))
        for slot in slots
    ]
    try:
        with torch.inference_mode():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return {stage: torch.cat(parts).cpu().numpy() for stage, parts in sorted(gates.items())}


def factors(x: Tensor, y: Tensor) -> Tensor:
    """The finite factors of maps (B, C, H, W) before and after attention, (at most B C,)."""
    factor = (x * y).sum((2, 3)) / (x * x).sum((2, 3))  # 0 / 0 is not finite
    return factor[factor.isfinite()]
