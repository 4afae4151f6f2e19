"""The LightningDataModule: the batches of a training, an epoch at a time, from where it resumes."""

import pytorch_lightning as pl
import torch
from torch import Tensor

from senet_train.config.schema import Data
from senet_train.data.images import Images
from senet_train.data.loaders import (
    Batch,
    EvaluationBatches,
    Splits,
    TrainingBatches,
    num_batches,
)
from senet_train.data.policies import policies_of
from senet_train.training.distributed.world import SINGLE_PROCESS, World


class DataModule(pl.LightningDataModule):
    """The splits as batches, an epoch at a time (`reload_dataloaders_every_n_epochs=1`).

    `here` is the process that reads its share of them; a step takes `accumulate` batches.
    """

    def __init__(
        self,
        splits: Splits,
        data: Data,
        *,
        seed: int,
        channels_last: bool,
        accumulate: int = 1,
        here: World = SINGLE_PROCESS,
    ) -> None:
        super().__init__()
        self.splits, self.data, self.seed, self.here = splits, data, seed, here
        self.accumulate = accumulate
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.first = (0, 0)  # epoch and batch to start with

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches of a whole epoch."""
        num_images = len(self.splits.train.labels)
        return num_batches(num_images, self.data.batch_size, self.accumulate)

    @property
    def steps_per_epoch(self) -> int:
        """The number of optimizer steps of a whole epoch."""
        return self.batches_per_epoch // self.accumulate

    def start_at(self, epoch: int, batch: int) -> None:
        """Resume: that epoch begins with that batch."""
        self.first = (epoch, batch % self.batches_per_epoch)  # 0 after an epoch's last

    @property
    def device(self) -> torch.device:
        """The device of the training."""
        assert self.trainer is not None
        return self.trainer.strategy.root_device

    def setup(self, stage: str) -> None:
        """Hold the images on the device, if they fit there, before it holds anything else."""
        if stage == "fit":
            on_host = bool(policies_of(self.data).transforms)
            self.splits = self.splits.on(self.device, train_on_host=on_host)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """It is there; the indices stay on the host."""
        return batch

    def to_memory_format(self, images: Tensor) -> Tensor:
        """The images in the memory format asked for."""
        return images.contiguous(memory_format=self.memory_format)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        images, targets, indices = batch
        return self.to_memory_format(images), targets, indices

    def train_dataloader(self) -> TrainingBatches:
        assert self.trainer is not None
        epoch = self.trainer.current_epoch
        first_epoch, first_batch = self.first
        start = first_batch if epoch == first_epoch else 0
        return TrainingBatches(
            self.splits.train,
            self.data,
            seed=self.seed,
            epoch=epoch,
            start=start,
            accumulate=self.accumulate,
            shard=self.here.shard,
            device=self.device,
        )

    def val_dataloader(self) -> EvaluationBatches:
        return self.evaluation_batches(self.splits.validation)

    def test_dataloader(self) -> EvaluationBatches:
        return self.evaluation_batches(self.splits.test)

    def evaluation_batches(self, images: Images) -> EvaluationBatches:
        """Those batches of the images that this process evaluates."""
        return EvaluationBatches(
            images,
            self.data,
            device=self.device,
            rank=self.here.rank,
            world_size=self.here.size,
        )
