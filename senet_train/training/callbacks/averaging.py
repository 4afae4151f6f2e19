"""The exponential moving average of the weights, which is evaluated in their place."""

import itertools

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...]


class MovingAverage(AveragedModel):
    """torch's AveragedModel, updated in a few kernels for all tensors and without a wait.

    average <- decay * average + (1 - decay) * weights, rounded as torch's `get_ema_avg_fn` rounds.
    `n_averaged` stays on the host, which asks it whether there is an average yet.
    """

    def __init__(self, model: nn.Module, decay: float, device: torch.device) -> None:
        super().__init__(model, device=device, use_buffers=True)
        self.decay = decay
        self.n_averaged = self.n_averaged.cpu()

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights and buffers of the model; the first ones are copied."""
        averages, values = tensors_of(self.module), tensors_of(model)
        for dtype in {average.dtype for average in averages}:
            pairs = zip(averages, values, strict=True)
            own, new = zip(*(pair for pair in pairs if pair[0].dtype == dtype), strict=True)
            if self.n_averaged == 0:
                torch._foreach_copy_(own, new)
            elif dtype.is_floating_point:
                average_numbers(own, new, self.decay)
            else:
                average_counts(own, new, self.decay)
        self.n_averaged += 1


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Its parameters and buffers, detached."""
    return [tensor.detach() for tensor in itertools.chain(module.parameters(), module.buffers())]


def average_numbers(averages: Tensors, values: Tensors, decay: float) -> None:
    """In place; each product is rounded before the sum."""
    torch._foreach_mul_(averages, decay)
    torch._foreach_add_(averages, torch._foreach_mul(values, 1 - decay))


def average_counts(averages: Tensors, values: Tensors, decay: float) -> None:
    """In place, such as the numbers of batches of BatchNorms: computed in float32, and cut off."""
    own, new = (torch.cat([count.flatten() for count in counts]) for counts in (averages, values))
    moved = (decay * own + (1 - decay) * new).to(own.dtype)
    parts = moved.split([average.numel() for average in averages])
    shaped = [part.view_as(average) for part, average in zip(parts, averages, strict=True)]
    torch._foreach_copy_(averages, shaped)


class Averaging(WeightAveraging):
    """Lightning's callback; during validation the network has the averaged weights."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._average_model = MovingAverage(pl_module, self.decay, trainer.strategy.root_device)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if trainer.validating:
            self.on_validation_epoch_end(trainer, pl_module)  # swaps the weights back
