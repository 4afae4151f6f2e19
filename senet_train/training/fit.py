"""Train a planned run, choose its best epoch by validation, and test that epoch once."""

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from senet_train.config.image_size import height_width
from senet_train.config.schema import Data
from senet_train.config.schema import Trainer as TrainerConfig
from senet_train.data.contents import once_decoded
from senet_train.data.find import refuse_changed
from senet_train.data.images import FileImages
from senet_train.data.loaders import load_splits
from senet_train.data.mixing import refuse_no_pairs
from senet_train.data.workers import PREFETCHED, batch_bytes, num_workers
from senet_train.errors import InputError, counted
from senet_train.networks.hardware import TAILS
from senet_train.networks.kernels.compiled import compiled
from senet_train.runs.checkpoint_files import DamagedCheckpoint, read_checkpoint
from senet_train.runs.folder import BEST
from senet_train.runs.metrics import AnyMetrics
from senet_train.runs.record import DataFacts, Ended, Latency
from senet_train.system.handover import refuse_broken_sockets, refuse_little_shared_memory
from senet_train.system.memory import disable_malloc_trim
from senet_train.system.signals import defer_signals
from senet_train.training.callbacks.agreement import Agreement
from senet_train.training.callbacks.averaging import Averaging
from senet_train.training.callbacks.checkpoints import Checkpoints, VerifiedCheckpointIO
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
from senet_train.training.callbacks.stopping import StoppingRules, ended
from senet_train.training.data_facts import data_line, facts_of
from senet_train.training.data_module import DataModule
from senet_train.training.distributed.batch_norm import synchronise_batch_norms
from senet_train.training.distributed.draws import divide_draws
from senet_train.training.distributed.processes import WorldEnvironment
from senet_train.training.distributed.strategy import strategy
from senet_train.training.distributed.world import world
from senet_train.training.ends import end_state
from senet_train.training.learner import Learner
from senet_train.training.logged_run import logged_run
from senet_train.training.notices import warn_of_few_steps
from senet_train.training.parameters import new_prefixes
from senet_train.training.plan import Plan, refuse_few_batches
from senet_train.training.precision import precision_plugin
from senet_train.training.resume import OF_A_RUN

# Lightning logs tips and what our own lines say already; and in every run it uses a deprecated
# name of torch.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec", module="pytorch_lightning.*")

log = logging.getLogger("senet_train")


@dataclass(frozen=True)
class Fitted:
    """The results of training and test, besides the files in the run folder."""

    metrics: AnyMetrics
    rates: list[float]  # images/s of every step, without warm-up
    earlier_seconds: float  # of training before the run was resumed
    latency: dict[str, Latency]
    peak_memory_bytes: int
    data: DataFacts = field(default_factory=DataFacts)
    ended: Ended = field(default_factory=Ended)
    draw: Callable[[], None] = lambda: None  # pictures of the test, once the record is written


def fit_and_test(plan: Plan, start: Path | None, provenance: dict[str, str]) -> Fitted:
    """Train from the checkpoint `start`, or from zero, and test the best epoch.

    Writes checkpoints, curves and predictions to the run folder. Raises Diverged, Stopped if a
    signal ends the run, and Pruned if a search does.
    """
    disable_malloc_trim()
    folder, config = plan.folder.path, plan.config
    refuse_handover(config.data)
    splits = load_splits(plan.source, config.data)
    refuse_changed(config.data, plan.source, plan.task.sources)
    if isinstance(splits.test, FileImages) and world().is_rank_zero:
        once_decoded(plan.source.fingerprint, partial(decode_all, splits.test, config.data))
    facts = facts_of(splits, plan.source)
    if world().is_rank_zero:
        log.info(data_line(facts, plan.source.class_names))
        warn_of_few_steps(facts.images["training"], config)
    only = min(config.data.batch_size, len(splits.train.labels))
    refuse_uneven(only)
    refuse_no_pairs(config.data, only, world().size)
    data = DataModule(
        splits,
        config.data,
        seed=config.seed,
        channels_last=config.trainer.channels_last,
        accumulate=config.optim.accumulate,
        here=world(),
    )
    refuse_few_batches(len(splits.train.labels), config)
    reset_peak_memory()
    module = build_learner(plan, data.steps_per_epoch, start)
    module.see_training(splits.train.labels)
    speed = SpeedMeter()
    journal = Journal(plan.logger, logged_run(plan), speed)
    observers = [*gate_histograms(plan, journal), *progress_bar(plan)]
    writers = [journal, *observers, Heartbeat(folder)] if world().is_rank_zero else []
    accumulate = config.optim.accumulate
    trainer = build_trainer(
        config.trainer, folder, speed, writers, provenance, accumulate=accumulate
    )
    try:
        with splits.kept_workers():
            with defer_signals():
                trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
            best_epoch = load_best(module, plan.folder.checkpoints / BEST, provenance)
            trainer.test(module, datamodule=data, verbose=False)
        if isinstance(splits.train, FileImages):  # read until now
            refuse_changed(config.data, plan.source, plan.task.sources)
        metrics = module.metrics(best_epoch)
        if not world().is_rank_zero:
            return Fitted(metrics, [], 0.0, {}, 0)
        device = trainer.strategy.root_device
        peak = peak_memory_bytes(device)  # of training: neither pictures nor latency are
        plan.task.write_predictions(module, folder, splits.test)
        metrics = module.with_test(metrics, splits.test.labels, plan.source.class_names)
        journal.write_final(metrics.values(), best_epoch)
    except BaseException as error:
        with suppress(OSError):  # no room for the last points: what ends the run is said
            journal.close(end_state(error))
        raise
    autocast = trainer.precision_plugin.forward_context
    shape = height_width(config.data.size_of_test)
    image = data.to_memory_format(torch.zeros(1, 3, *shape))
    latency = measure_latency(module.network.to(device), autocast, image.to(device))

    def draw() -> None:
        try:
            plan.task.draw(module, journal, splits.test, plan.source.class_names, best_epoch)
        finally:
            journal.close("finished")

    rates, earlier = speed.steady(), speed.earlier_seconds
    end = ended(module.progress)
    return Fitted(metrics, rates, earlier, latency, peak, facts, end, draw)


def decode_all(images: FileImages, data: Data) -> None:
    """Decode every image. Raises RunError for a damaged one, which a run would meet at its end."""
    log.info("decoding %s, once, before training", counted(len(images.paths), "test image"))
    for _ in images.read(torch.arange(len(images.paths)).split(data.batch_size)):
        pass


def refuse_handover(data: Data) -> None:
    """Raises InputError where data workers could not hand over their batches."""
    if workers := num_workers(data):
        way_out = "data.workers=0"
        refuse_broken_sockets(way_out)
        refuse_little_shared_memory(workers * PREFETCHED * batch_bytes(data), way_out)


def refuse_uneven(batch_size: int) -> None:
    """Raises InputError if the ranks cannot share the batch equally.

    It is smaller than `data.batch_size` if the training set is.
    """
    if batch_size % world().size:
        raise InputError(
            f"the only batch has {batch_size} images, which trainer.devices={world().size} cannot "
            "share in equal parts: choose a smaller data.batch_size, or trainer.devices=1"
        )


def build_learner(plan: Plan, steps_per_epoch: int, start: Path | None = None) -> Learner:
    """The network with its attention, in its memory format, as a LightningModule."""
    config = plan.config
    builder = plan.builder_from(start)
    network, slots = builder.build(int(config.data.num_classes), seed=config.seed)
    if config.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network.use_tail(TAILS[config.trainer.kernel])
    if world().size > 1:
        synchronise_batch_norms(network, on_gpu=plan.on_gpu)
        divide_draws(network)
    return plan.task.learner(
        network,
        config.optim,
        plan.schedule,
        seed=config.seed,
        max_epochs=config.trainer.max_epochs,
        steps_per_epoch=steps_per_epoch,
        num_classes=int(config.data.num_classes),
        score=config.trainer.score,
        test_flips=config.data.test_flips,
        new=new_prefixes(network, slots),
        compiled=compiled(network) if config.trainer.kernel == "compiled" else None,
    )


def build_trainer(
    config: TrainerConfig,
    folder: Path,
    speed: SpeedMeter,
    writers: list[Callback],
    provenance: dict[str, str],
    *,
    accumulate: int = 1,
) -> pl.Trainer:
    """A Trainer that keeps the best and the last epoch, and reports nothing itself."""
    here, device_type = world(), "cuda" if config.accelerator == "gpu" else "cpu"
    checkpoints = Checkpoints(
        folder / "checkpoints",
        minutes=config.checkpoint_minutes,
        averaged=config.ema_decay != "none",
        provenance=provenance,
    )
    stop, rules = StopOnRequest(folder), StoppingRules(config, speed)
    # In this order: an agreement saves what those before it have done.
    agreement = Agreement(speed, stop, checkpoints)
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=here.local_size,
        num_nodes=here.size // here.local_size,
        strategy=strategy(),
        use_distributed_sampler=False,
        max_epochs=config.max_epochs,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=None if config.clip_norm == "none" else config.clip_norm,
        deterministic=config.deterministic,
        callbacks=[speed, *writers, rules, stop, *averaging(config), agreement, checkpoints],
        default_root_dir=folder,
        # Inside a cluster job Lightning would otherwise look for checkpoints of its own.
        plugins=[
            WorldEnvironment(),
            VerifiedCheckpointIO(provenance),
            precision_plugin(config.precision, device_type),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )


def averaging(config: TrainerConfig) -> list[Callback]:
    """The exponential moving average of the weights, which is evaluated in their place, or none."""
    return [] if config.ema_decay == "none" else [Averaging(decay=config.ema_decay)]


def progress_bar(plan: Plan) -> list[Callback]:
    """A progress bar if standard error is a terminal; otherwise epochs are plain lines."""
    if not sys.stderr.isatty():
        return []
    return [ProgressBar(Console(stderr=True), plan.identity.label)]


def gate_histograms(plan: Plan, journal: Journal) -> list[Callback]:
    """The histograms of the gates after every epoch, if the network has attention."""
    return [] if plan.config.attention.name == "none" else [GateHistograms(plan.slots, journal)]


def load_best(module: Learner, path: Path, provenance: dict[str, str]) -> int:
    """Load the weights of the best epoch into the module; the number of that epoch, from 0.

    Raises DamagedCheckpoint for a file of another run: its weights are not this run's.
    """
    checkpoint = read_checkpoint(path)
    try:
        of_this_run = all(checkpoint["made_by"].get(key) == provenance.get(key) for key in OF_A_RUN)
        module.load_state_dict(checkpoint["state_dict"])
        epoch = int(checkpoint["epoch"])
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError):
        of_this_run = False
    if not of_this_run:
        raise DamagedCheckpoint(path, ValueError("it is of another run"))
    return epoch
