"""From a configuration to all that a run needs, before anything is written.

Every configuration that cannot be trained is refused here: the network is built on the meta
device, the data are found, and the identity is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from senet_train.config.options import bind
from senet_train.config.schema import Config, Kernel, Trainer
from senet_train.data.find import find_data, resolve_data
from senet_train.data.images import Source
from senet_train.data.loaders import num_batches
from senet_train.data.mixing import refuse_no_pairs
from senet_train.errors import InputError
from senet_train.networks.cost import NetworkCost
from senet_train.networks.hardware import (
    Hardware,
    choose_accelerator,
    choose_kernel,
    choose_precision,
    hardware_of,
)
from senet_train.networks.insertion import Slot
from senet_train.networks.kernels.compiled import compiling_pays
from senet_train.networks.weights.find import Weights
from senet_train.runs.folder import RunFolder
from senet_train.runs.identity import Identity
from senet_train.runs.network import NetworkBuilder
from senet_train.training.checks import (
    cost_at,
    refuse_batch,
    refuse_compiled,
    refuse_devices,
    refuse_layer_decay,
    refuse_mixing,
    refuse_not_deterministic,
    refuse_optim,
    refuse_overflows,
    refuse_unknown_norms,
)
from senet_train.training.loggers import LOGGERS
from senet_train.training.loggers import PLUGINS as LOGGER_PLUGINS
from senet_train.training.loggers.sink import Logger
from senet_train.training.optimizers import OPTIMIZERS, PLUGINS
from senet_train.training.places import Place, open_arm_of, places_of, with_precision
from senet_train.training.schedule import SCHEDULES, Schedule
from senet_train.training.tasks import TASKS
from senet_train.training.tasks.task import Task


@dataclass(frozen=True)
class Plan:
    """A checked run. In its `config` every `auto` is resolved, if it is made here.

    A run that another machine makes, a job of a cluster, finds out there what `auto` is. Its plan
    has several `places`: the first, of which nothing is made, has the precision `auto`, and each of
    the others one of those that the job may choose. `open_arm` is the name of the arm with the
    precision `auto`, "" where the user has chosen one: a study declares its arms by it.
    """

    config: Config
    builder: NetworkBuilder
    schedule: Schedule
    source: Source
    slots: list[Slot]
    cost: NetworkCost
    places: tuple[Place, ...]
    open_arm: str
    own_attention: int  # modules of the network's own attention, which are taken out
    logger: Logger  # where its curves go

    @property
    def place(self) -> Place:
        """The only place; of several, that of the run that was begun last, or the first."""
        first, *others = self.places
        begun = [place for place in others if place.was_made_as(self.open_arm)]
        return max(begun, key=lambda place: place.folder.begun, default=first)

    @property
    def identity(self) -> Identity:
        """What the run is."""
        return self.place.identity

    @property
    def folder(self) -> RunFolder:
        """Where the run lies."""
        return self.place.folder

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which a study may declare its arm, the usual one first."""
        made = [place.identity.arm for place in self.places]
        return tuple(dict.fromkeys([*made, *filter(None, [self.open_arm])]))

    def at_seed(self, seed: int) -> "Plan":
        """The same arm at another seed: neither network nor identity depends on it."""
        places = tuple(place.at_seed(seed) for place in self.places)
        return replace(self, config=replace(self.config, seed=seed), places=places)

    @property
    def task(self) -> Task:
        """Classification, segmentation or detection."""
        return TASKS[self.config.task]

    @property
    def on_gpu(self) -> bool:
        """Whether it trains on a GPU."""
        return self.config.trainer.accelerator == "gpu"

    @property
    def hardware(self) -> Hardware:
        """What it computes with."""
        trainer = self.config.trainer
        return hardware_of(
            trainer.accelerator,
            trainer.precision,
            trainer.kernel,
            deterministic=trainer.deterministic,
        )

    @property
    def weights(self) -> Weights | None:
        """The pretrained weights that it starts from, if there are any."""
        return self.builder.weights

    @property
    def starts_as_identity(self) -> bool:
        """Whether its attention is the identity before training."""
        nothing = self.config.attention.name == "none"
        return nothing or bool(self.builder.attention.keywords.get("identity"))

    def builder_from(self, start: Path | None) -> NetworkBuilder:
        """The builder; without pretrained weights if the checkpoint `start` has the weights."""
        if start is None:
            return self.builder
        return NetworkBuilder.of(self.config, self.task.bind_network, load_weights=False)

    def hyperparameters(self) -> dict[str, int | float | str]:
        """The columns of this run in TensorBoard's HPARAMS tab.

        Every arm has the same keys and types: the tab shows only columns that all runs have.
        """
        config = self.config
        options = (f"{key} {value}" for key, value in config.attention.options.items())
        return {
            "arm": self.identity.label,
            "attention": ", ".join([config.attention.name, *options]),
            "batch_size": config.data.batch_size,
            "lr": config.optim.lr,
            "max_epochs": config.trainer.max_epochs,
            "model": config.model.title,
            "optimizer": config.optim.algorithm.name,
            "placement": f"{config.placement.position} {config.placement.stages}",
            "seed": config.seed,
            "task": config.task,
            "weight_decay": config.optim.weight_decay,
        }


def make_plan(config: Config, seeds: Sequence[int] = (), *, made_here: bool = True) -> Plan:
    """Check and resolve everything. Raises InputError.

    `seeds` are those that the arm is to have, where they are not the configuration's one. What a
    machine has is neither asked nor resolved of a run that is not `made_here`.
    """
    task = TASKS[config.task]
    refuse_source(config.data.source.name, task)
    builder = NetworkBuilder.of(config, task.bind_network, seeds=seeds)
    schedule, shape = bind(
        config.optim.schedule, SCHEDULES, "optim.schedule", "senet_train.schedule"
    )
    optimizer, algorithm = bind(config.optim.algorithm, OPTIMIZERS, "optim", PLUGINS)
    logger, logger_choice = bind(config.logger, LOGGERS, "logger", LOGGER_PLUGINS)
    optim = replace(config.optim, schedule=shape, algorithm=algorithm)
    config = replace(builder.config, optim=optim, logger=logger_choice)
    refuse_optim(config)
    made_logger = logger()
    asked_precision, asked_kernel = config.trainer.precision, config.trainer.kernel
    refuse_compiled(config, compiles=task.compiles)
    refuse_devices(config, made_here=made_here)
    refuse_no_pairs(config.data, config.data.batch_size, config.trainer.devices)
    config = resolve_hardware(config) if made_here else config
    refuse_overflows(config.trainer, algorithm.name, optimizer.func)
    task.refuse(config)
    asked = config.data.num_classes  # built before the data are looked for: they may take a while
    guess = 10 if asked == "auto" else asked
    found = builder.build_on_meta(guess)
    source, data = find_data(config.data, task.sources)
    config = replace(config, placement=found.placement, data=resolve_data(data, source))
    if made_here and asked_kernel == "auto" and task.compiles:
        config = compile_where_it_pays(config, source)
    if config.data.num_classes != guess:
        found = builder.build_on_meta(int(config.data.num_classes))
    with torch.device("meta"):
        cost = cost_at(found.network, found.slots, config.data)
        refuse_batch(found.network, config.data)
        refuse_mixing(found.network, config.trainer.devices)
        refuse_layer_decay(found.network, config.optim)
        refuse_unknown_norms(found.network, config.trainer.devices)
        refuse_not_deterministic(found.network, found.slots, config)
    unresolved = with_precision(config, asked_precision)
    return Plan(
        config=config,
        builder=builder,
        schedule=schedule(),
        source=source,
        slots=found.slots,
        cost=cost,
        places=places_of(config, source, found.label),
        open_arm=open_arm_of(unresolved, source, found.label),
        own_attention=len(found.network.taken_out),
        logger=made_logger,
    )


def refuse_source(name: str, task: Task) -> None:
    """Raises InputError for a data set of ours that belongs to another task."""
    of_others = {source for other in TASKS.values() for source in other.sources}
    if name in of_others - set(task.sources):
        raise InputError(
            f"data={name} is not for task={task.name}: choose one of {', '.join(task.sources)}"
        )


def resolve_hardware(config: Config) -> Config:
    """`trainer.accelerator`, `precision` and `kernel` at `auto` -> what this machine has."""
    accelerator = choose_accelerator(config.trainer.accelerator)
    precision = choose_precision(config.trainer.precision, accelerator)
    trainer = config.trainer
    kernel = kernel_here(replace(trainer, accelerator=accelerator), trainer.kernel)
    trainer = replace(trainer, accelerator=accelerator, precision=precision, kernel=kernel)
    return replace(config, trainer=trainer)


def kernel_here(trainer: Trainer, asked: Kernel) -> Kernel:
    """The kernel that this machine has for the one that was asked for. Raises InputError."""
    return choose_kernel(
        asked, trainer.accelerator, trainer.channels_last, alone=trainer.devices == 1
    )


def compile_where_it_pays(config: Config, source: Source) -> Config:
    """The kernel `auto` of a long run on a GPU becomes `compiled`, if that can be had."""
    trainer = config.trainer
    pays = compiling_pays(
        trainer.accelerator,
        batches_of(config, source),
        alone=trainer.devices == 1,
        deterministic=trainer.deterministic,
    )
    kernel = kernel_here(trainer, "compiled") if pays else trainer.kernel
    return replace(config, trainer=replace(trainer, kernel=kernel))


def refuse_far_too_few_images(config: Config, source: Source) -> None:
    """Raises InputError where what is known before images are read is not enough for a step."""
    if source.num_images:  # a few that are not there refuse nothing that could be trained
        refuse_few_batches(training_images(config, source) + len(source.class_names), config)


def refuse_few_batches(num_images: int, config: Config) -> None:
    """Raises InputError for a training set that is too small for one step of the optimizer."""
    batch_size, accumulate = config.data.batch_size, config.optim.accumulate
    if not num_batches(num_images, batch_size, accumulate):
        raise InputError(
            f"optim.accumulate={accumulate} batches of {batch_size} take {accumulate * batch_size} "
            f"training images, and there are {num_images} at most: choose a smaller "
            "optim.accumulate or data.batch_size"
        )


def batches_of(config: Config, source: Source) -> int:
    """The batches it trains on, as near as is known before images are read; 0 where nothing is."""
    if not source.num_images:
        return 0
    images, accumulate = training_images(config, source), config.optim.accumulate
    return num_batches(images, config.data.batch_size, accumulate) * config.trainer.max_epochs


def training_images(config: Config, source: Source) -> int:
    """How many images are left to train on; some more or less, as each class is split by itself."""
    held_out = len(source.validation) or round(source.num_images * config.data.val_fraction)
    return source.num_images - held_out
