"""From a configuration to all that a run needs, before anything is written.

Every configuration that cannot be trained is refused here: the network is built on the meta
device, the data are found, and the identity is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from senet_train.backbones.slots import Backbone
from senet_train.config.options import bind
from senet_train.config.schema import Config, Data
from senet_train.data.find import find_data, resolve_data
from senet_train.data.images import Source
from senet_train.errors import InputError
from senet_train.networks.cost import NetworkCost, measure_cost
from senet_train.networks.hardware import (
    Hardware,
    choose_accelerator,
    choose_kernel,
    choose_precision,
    hardware_of,
)
from senet_train.networks.insertion import Slot
from senet_train.networks.weights.find import Weights
from senet_train.runs.folder import RunFolder
from senet_train.runs.identity import Identity, identify
from senet_train.runs.network import NetworkBuilder
from senet_train.training.checks import (
    refuse_batch,
    refuse_devices,
    refuse_mixing,
    refuse_not_deterministic,
    refuse_optim,
)
from senet_train.training.schedule import SCHEDULES, Schedule
from senet_train.training.tasks import TASKS
from senet_train.training.tasks.task import Task


@dataclass(frozen=True)
class Plan:
    """A checked run, in whose `config` every `auto` is resolved."""

    config: Config
    builder: NetworkBuilder
    schedule: Schedule
    source: Source
    slots: list[Slot]
    cost: NetworkCost
    identity: Identity
    folder: RunFolder
    own_attention: int  # modules of the network's own attention, which are taken out

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
            "placement": f"{config.placement.position} {config.placement.stages}",
            "seed": config.seed,
            "task": config.task,
            "weight_decay": config.optim.weight_decay,
        }


def make_plan(config: Config, seeds: Sequence[int] = ()) -> Plan:
    """Check and resolve everything. Raises InputError.

    `seeds` are those that the arm is to have, where they are not the configuration's one.
    """
    task = TASKS[config.task]
    refuse_source(config.data.source.name, task)
    builder = NetworkBuilder.of(config, task.bind_network, seeds=seeds)
    schedule, shape = bind(
        config.optim.schedule, SCHEDULES, "optim.schedule", "senet_train.schedule"
    )
    optim = replace(config.optim, schedule=shape)
    refuse_optim(config)
    config = resolve_hardware(replace(builder.config, optim=optim))
    task.refuse(config)
    asked = config.data.num_classes  # built before the data are looked for: they may take a while
    found = builder.build_on_meta(10 if asked == "auto" else asked)
    source, data = find_data(config.data, task.sources)
    config = replace(config, placement=found.placement, data=resolve_data(data, source))
    if config.data.num_classes != asked:
        found = builder.build_on_meta(int(config.data.num_classes))
    with torch.device("meta"):
        cost = cost_at(found.network, found.slots, config.data)
        refuse_batch(found.network, config.data)
        refuse_mixing(found.network, config.trainer.devices)
        refuse_not_deterministic(found.network, found.slots, config)
    identity, folder = place_of(config, source, found.label)
    return Plan(
        config=config,
        builder=builder,
        schedule=schedule(),
        source=source,
        slots=found.slots,
        cost=cost,
        identity=identity,
        folder=folder,
        own_attention=len(found.network.taken_out),
    )


def place_of(config: Config, source: Source, label: str) -> tuple[Identity, RunFolder]:
    """The identity of the run, and its folder.

    They are those of a run that was made before contents were part of the identity, if there is a
    finished one of these words and not one of these contents.
    """
    output_dir = Path(config.output_dir).expanduser()
    places = []
    for fingerprint in filter(None, (source.fingerprint, source.earlier_fingerprint)):
        identity = identify(config, fingerprint, label)
        folder = RunFolder(output_dir, config.data.source.name, identity.arm, config.seed)
        places.append((identity, folder))
    now, earlier = places[0], places[-1]
    found = earlier[1].finished and not now[1].path.exists() and not config.overwrite
    return earlier if found else now


def refuse_source(name: str, task: Task) -> None:
    """Raises InputError for a data set of ours that belongs to another task."""
    of_others = {source for other in TASKS.values() for source in other.sources}
    if name in of_others - set(task.sources):
        raise InputError(
            f"data={name} is not for task={task.name}: choose one of {', '.join(task.sources)}"
        )


def cost_at(network: Backbone, slots: list[Slot], data: Data) -> NetworkCost:
    """The cost of one image. Raises InputError if the images are too small for the network."""
    try:
        return measure_cost(network, slots, data.image_size)
    except RuntimeError as error:
        raise InputError(
            f"data.image_size={data.image_size} is too small for this network ({error}): "
            "choose a larger one"
        ) from error


def resolve_hardware(config: Config) -> Config:
    """`trainer.accelerator`, `precision` and `kernel` at `auto` -> what this machine has."""
    accelerator = choose_accelerator(config.trainer.accelerator)
    precision = choose_precision(config.trainer.precision, accelerator)
    trainer = config.trainer
    alone = refuse_devices(config) == 1
    kernel = choose_kernel(trainer.kernel, accelerator, trainer.channels_last, alone)
    trainer = replace(trainer, accelerator=accelerator, precision=precision, kernel=kernel)
    return replace(config, trainer=trainer)
