"""Train a planned run, choose its best epoch by validation, read the test set once."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from rich.console import Console

from senet_train.config.schema import Precision
from senet_train.config.schema import Trainer as TrainerConfig
from senet_train.data.loaders import DataModule, load_splits
from senet_train.errors import InputError
from senet_train.networks.hardware import TAILS
from senet_train.runs.checkpoint_files import BEST, ProvenCheckpointIO, read_checkpoint
from senet_train.runs.metrics import AnyMetrics
from senet_train.runs.record import Latency
from senet_train.system.memory import keep_freed_memory
from senet_train.system.signals import between_steps
from senet_train.training.callbacks.checkpoints import Averaging, Checkpoints
from senet_train.training.callbacks.gate_histograms import GateHistograms
from senet_train.training.callbacks.heartbeat import Heartbeat
from senet_train.training.callbacks.journal import Journal
from senet_train.training.callbacks.progress_bar import ProgressBar
from senet_train.training.callbacks.speed import (
    SpeedMeter,
    measure_latency,
    peak_memory_bytes,
    reset_peak_memory,
)
from senet_train.training.callbacks.stop_request import StopOnRequest
from senet_train.training.distributed.batch_norm import synchronise_layers
from senet_train.training.distributed.processes import WorldEnvironment
from senet_train.training.distributed.world import world
from senet_train.training.learner import Learner
from senet_train.training.optimizer import new_parts
from senet_train.training.plan import Plan

# Lightning greets, advises and repeats what our own lines say; and it uses a deprecated name of
# torch's in every run.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec", module="pytorch_lightning.*")


LIGHTNING_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {
    32: "32-true",
    "bf16-mixed": "bf16-mixed",
}


@dataclass(frozen=True)
class Fitted:
    """What training left, besides the files in the run folder."""

    metrics: AnyMetrics
    rates: list[float]  # images/s of every steady step
    earlier_seconds: float  # of tries that this one went on with
    latency: dict[str, Latency]
    peak_memory_bytes: int


def fit_and_test(plan: Plan, start: Path | None, made_by: dict[str, str]) -> Fitted:
    """Fill the run folder with checkpoints, curves and predictions, from a checkpoint if given.

    Raises Diverged, Stopped when a signal has asked for it, and Pruned when a search has.
    """
    keep_freed_memory()
    folder, config = plan.folder.path, plan.config
    splits = load_splits(plan.source, config.data)
    refuse_uneven(min(config.data.batch_size, len(splits.train.labels)))
    data = DataModule(
        splits,
        config.data,
        seed=config.seed,
        channels_last=config.trainer.channels_last,
        shard=world().shard,
    )
    reset_peak_memory()
    module = build_learner(plan, data.steps_per_epoch, start)
    speed = SpeedMeter()
    journal = Journal(folder, plan.hyperparameters(), speed, plan.task.learner.final_metrics)
    looking = [*gate_histograms(plan, journal), *progress_bar(plan)]
    writers = [journal, *looking, Heartbeat(folder)] if world().is_rank_zero else []
    callbacks = [speed, *writers, StopOnRequest(folder)]
    trainer = build_trainer(config.trainer, folder, callbacks, made_by)
    try:
        with between_steps():
            trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
        best_epoch = load_best(module, plan.folder.checkpoints / BEST)
        trainer.test(module, datamodule=data, verbose=False)
        metrics = module.metrics(best_epoch)
        if not world().is_rank_zero:
            return Fitted(metrics, [], 0.0, {}, 0)
        device = trainer.strategy.root_device
        peak = peak_memory_bytes(device)  # of training: neither pictures nor latency are
        plan.task.keep(module, folder, journal, splits.test, plan.source.class_names, best_epoch)
        journal.write_final(vars(metrics))
    finally:
        journal.close()
    autocast = trainer.precision_plugin.forward_context
    image = data.laid_out(torch.zeros(1, 3, config.data.image_size, config.data.image_size))
    latency = measure_latency(module.network.to(device), autocast, image.to(device))
    return Fitted(metrics, speed.steady(), speed.earlier_seconds, latency, peak)


def refuse_uneven(batch_size: int) -> None:
    """An only batch may be smaller than asked for. Raises InputError if it makes no equal parts."""
    if batch_size % world().size:
        raise InputError(
            f"the only batch has {batch_size} images, which trainer.devices={world().size} cannot "
            "share in equal parts: choose a smaller data.batch_size, or trainer.devices=1"
        )


def build_learner(plan: Plan, steps_per_epoch: int, start: Path | None = None) -> Learner:
    """The network with its attention, in the memory format asked for, ready to train."""
    config = plan.config
    builder = plan.builder_from(start)
    network, slots = builder.build(int(config.data.num_classes), seed=config.seed)
    if config.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network.use_tail(TAILS[config.trainer.kernel])
    if world().size > 1:
        synchronise_layers(network)
    return plan.task.learner(
        network,
        config.optim,
        plan.schedule,
        seed=config.seed,
        max_epochs=config.trainer.max_epochs,
        steps_per_epoch=steps_per_epoch,
        new=new_parts(network, slots),
    )


def build_trainer(
    config: TrainerConfig, folder: Path, callbacks: list[Callback], made_by: dict[str, str]
) -> pl.Trainer:
    """A Trainer that keeps the best and the last epoch and leaves all reporting to us."""
    here = world()
    checkpoints = Checkpoints(
        folder / "checkpoints",
        minutes=config.checkpoint_minutes,
        averaged=config.ema_decay != "none",
        made_by=made_by,
    )
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=here.local_size,
        num_nodes=here.size // here.local_size,
        strategy="auto" if here.size == 1 else DDPStrategy(),
        use_distributed_sampler=False,
        precision=LIGHTNING_PRECISION[config.precision],
        max_epochs=config.max_epochs,
        gradient_clip_val=None if config.clip_norm == "none" else config.clip_norm,
        deterministic=config.deterministic,
        callbacks=[*callbacks, *averaging(config), checkpoints],
        default_root_dir=folder,
        # Inside a cluster job Lightning would otherwise look for checkpoints of its own.
        plugins=[WorldEnvironment(), ProvenCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )


def averaging(config: TrainerConfig) -> list[Callback]:
    """An exponential moving average of the weights, if asked for: it is what gets evaluated."""
    return [] if config.ema_decay == "none" else [Averaging(decay=config.ema_decay)]


def progress_bar(plan: Plan) -> list[Callback]:
    """A live bar if standard error is a terminal; the epoch's plain lines serve otherwise."""
    if not sys.stderr.isatty():
        return []
    return [ProgressBar(Console(stderr=True), plan.identity.label)]


def gate_histograms(plan: Plan, journal: Journal) -> list[Callback]:
    """What looks at the gates after every epoch, where there are any."""
    return [] if plan.config.attention.name == "none" else [GateHistograms(plan.slots, journal)]


def load_best(module: Learner, path: Path) -> int:
    """Put the best epoch's weights into the module; which epoch it was, from 0."""
    checkpoint = read_checkpoint(path)
    module.load_state_dict(checkpoint["state_dict"])
    return int(checkpoint["epoch"])


@contextmanager
def arithmetic(deterministic: bool, threads: int) -> Iterator[None]:
    """For the block, deterministic algorithms alone if asked, and so many threads.

    Sums over parts of a batch are rounded by the number of threads that share it.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    # Filling new memory would cost a pass over every activation and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
