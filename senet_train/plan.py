"""From a configuration to all that a run needs, with nothing written yet.

Everything that can be refused is refused here: the network is built on the meta device, the data
are found, and the identity follows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from senet_train.attention import ATTENTIONS
from senet_train.backbones.slots import Backbone
from senet_train.config import Choice, Config, Data
from senet_train.cost import NetworkCost, measure_cost
from senet_train.crew import crew
from senet_train.data import SOURCES
from senet_train.data.images import Source
from senet_train.environment import choose_accelerator, choose_kernel, choose_precision
from senet_train.errors import InputError
from senet_train.identity import Identity, identify, label_of, written_as_ever
from senet_train.insertion import Slot, build_network, units_of, written_out
from senet_train.options import bind, defaults, keyword_options, look_up
from senet_train.run_folder import RunFolder
from senet_train.schedule import SCHEDULES, Schedule
from senet_train.tasks import TASKS
from senet_train.tasks.task import Task
from senet_train.weave.pretrained import Weights


@dataclass(frozen=True)
class Plan:
    """A checked run: `config` holds nothing automatic any more."""

    config: Config
    backbone: partial[Backbone]
    attention: partial[nn.Module]
    schedule: Schedule
    source: Source
    slots: list[Slot]
    cost: NetworkCost
    identity: Identity
    folder: RunFolder
    own_attention: int  # modules of it that the network brought along, and that are taken out

    @property
    def task(self) -> Task:
        """What is learnt."""
        return TASKS[self.config.task]

    @property
    def on_gpu(self) -> bool:
        """Whether it trains on one."""
        return self.config.trainer.accelerator == "gpu"

    @property
    def weights(self) -> Weights | None:
        """The pretrained weights it starts from."""
        found: Weights | None = self.backbone.keywords.get("weights")
        return found

    @property
    def starts_as_identity(self) -> bool:
        """Whether its attention at first changes nothing."""
        nothing = self.config.attention.name == "none"
        return nothing or bool(self.attention.keywords.get("identity"))

    def backbone_from(self, start: Path | None) -> partial[Backbone]:
        """A run that goes on from a checkpoint has its weights there, and reads no others."""
        if start is None:
            return self.backbone
        return self.task.bind_network(self.config.model, weights_to_come=True)[0]

    def hyperparameters(self) -> dict[str, int | float | str]:
        """What tells this run from others in TensorBoard's HPARAMS tab.

        The same keys and types for every arm: the tab shows only columns that all runs have.
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
    backbone, model = task.bind_network(config.model)
    backbone = with_weights_of(backbone, seeds or [config.seed])
    attention, kind = bind(config.attention, ATTENTIONS, "attention", "senet_train.attention")
    schedule, shape = bind(
        config.optim.schedule, SCHEDULES, "optim.schedule", "senet_train.schedule"
    )
    optim = replace(config.optim, schedule=shape)
    refuse_optim(config)
    usual = defaults(attention.func)
    kind = written_as_ever(kind, usual)
    config = replace(config, model=model, attention=kind, optim=optim)
    config = resolve_hardware(config)
    task.refuse(config)
    build = partial(build_network, backbone, attention, config.placement, seed=config.seed)
    asked = config.data.num_classes
    with torch.device("meta"):  # before the data are looked for: they may take a while
        network, _ = build(num_classes=10 if asked == "auto" else asked)
    config = replace(config, placement=written_out(network, config.placement))
    every_stage = list(units_of(network, replace(config.placement, modules="auto")))
    label = label_of(config, usual, every_stage)
    source, data = find_data(config.data, task.sources)
    config = replace(config, data=resolve_classes(data, source))
    with torch.device("meta"):
        network, slots = build(num_classes=int(config.data.num_classes))
        cost = cost_at(network, slots, config.data)
        refuse_batch(network, config.data)
        refuse_mixing(network, config.trainer.devices)
    identity = identify(config, source.fingerprint, label)
    output_dir = Path(config.output_dir).expanduser()
    folder = RunFolder(output_dir, config.data.source.name, identity.arm, config.seed)
    return Plan(
        config=config,
        backbone=backbone,
        attention=attention,
        schedule=schedule(),
        source=source,
        slots=slots,
        cost=cost,
        identity=identity,
        folder=folder,
        own_attention=len(network.taken_out),
    )


def with_weights_of(backbone: partial[Backbone], seeds: Sequence[int]) -> partial[Backbone]:
    """The constructor with the pretrained weights of the first seed. Raises InputError."""
    weights: Weights | None = backbone.keywords.get("weights")
    return partial(backbone, weights=weights.of_seeds(seeds)) if weights else backbone


def refuse_source(name: str, task: Task) -> None:
    """Raises InputError for a data set of ours that is another task's."""
    of_others = {source for other in TASKS.values() for source in other.sources}
    if name in of_others - set(task.sources):
        raise InputError(
            f"data={name} is not for task={task.name}: choose one of {', '.join(task.sources)}"
        )


def cost_at(network: Backbone, slots: list[Slot], data: Data) -> NetworkCost:
    """What an image costs. Raises InputError where the network cannot take images so small."""
    try:
        return measure_cost(network, slots, data.image_size)
    except RuntimeError as error:
        raise InputError(
            f"data.image_size={data.image_size} is too small for this network ({error}): "
            "choose a larger one"
        ) from error


def refuse_batch(network: Backbone, data: Data) -> None:
    """Train one batch's forward pass on the meta device. Raises InputError.

    BatchNorm cannot normalise a single value per channel: one image on a 1x1 map.
    """
    images = torch.empty(min(data.batch_size, 2), 3, data.image_size, data.image_size)
    try:
        network.train()(images)
    except ValueError as error:
        raise InputError(
            f"data.batch_size={data.batch_size} cannot be trained on ({error}): "
            "choose data.batch_size >= 2"
        ) from error


def refuse_mixing(network: Backbone, devices: int) -> None:
    """Raises InputError where images of one batch see each other, and lie in several processes."""
    if devices > 1 and any(getattr(module, "mixes_images", False) for module in network.modules()):
        raise InputError(
            f"this attention takes something of another image of the batch, and trainer.devices="
            f"{devices} puts them in several processes: choose trainer.devices=1"
        )


def refuse_optim(config: Config) -> None:
    """What no single value of the optimizer shows. Raises InputError."""
    optim, epochs = config.optim, config.trainer.max_epochs
    if optim.nesterov and optim.momentum == 0:
        raise InputError(
            "optim.momentum=0 with optim.nesterov=true: Nesterov's step needs momentum, "
            "choose optim.nesterov=false"
        )
    if optim.warmup_epochs >= epochs:
        raise InputError(
            f"optim.warmup_epochs={optim.warmup_epochs} leaves none of trainer.max_epochs={epochs} "
            f"at the peak rate: choose optim.warmup_epochs < {epochs}"
        )
    if optim.frozen == "backbone" and optim.backbone_lr_factor != 1:
        raise InputError(
            f"optim.backbone_lr_factor={optim.backbone_lr_factor} changes nothing with "
            "optim.frozen=backbone: leave one of them out"
        )


def resolve_hardware(config: Config) -> Config:
    """`trainer.accelerator`, `precision` and `kernel` at `auto` -> what this machine has."""
    accelerator = choose_accelerator(config.trainer.accelerator)
    precision = choose_precision(config.trainer.precision, accelerator)
    trainer = config.trainer
    alone = refuse_devices(config) == 1
    kernel = choose_kernel(trainer.kernel, accelerator, trainer.channels_last, alone)
    trainer = replace(trainer, accelerator=accelerator, precision=precision, kernel=kernel)
    return replace(config, trainer=trainer)


def refuse_devices(config: Config) -> int:
    """`trainer.devices`. Raises InputError where it does not fit the processes, or the batch."""
    devices, processes = config.trainer.devices, crew().size
    if processes not in (1, devices):
        raise InputError(
            f"trainer.devices={devices} and torchrun started {processes} processes: "
            f"choose trainer.devices={processes}"
        )
    if config.data.batch_size % devices:
        raise InputError(
            f"data.batch_size={config.data.batch_size} cannot be shared by trainer.devices="
            f"{devices} in equal parts: choose a multiple of {devices}"
        )
    here = devices if processes == 1 else crew().local_size
    present = torch.cuda.device_count()
    if choose_accelerator(config.trainer.accelerator) == "gpu" and here > present:
        raise InputError(f"trainer.devices={devices} and there are {present} GPUs: choose fewer")
    return devices


def find_data(
    data: Data, sources: Mapping[str, Callable[..., Source]] = SOURCES
) -> tuple[Source, Data]:
    """The data set, found and not yet read; its options in full. Raises InputError."""
    constructor = look_up(data.source.name, sources, "data", "senet_train.data")
    wanted = set(keyword_options(constructor)) & (set(Data.__dataclass_fields__) - {"source"})
    shared = {key: getattr(data, key) for key in wanted}
    choice = Choice(data.source.name, data.source.options | shared)
    bound, full = bind(choice, sources, "data", "senet_train.data")
    source: Source = bound()
    refuse_storage(data, source)
    own = {key: value for key, value in full.options.items() if key not in shared}
    if "classes" in own:  # all, a name or a list in any order: the same classes are the same run
        own["classes"] = list(source.class_names)
    return source, replace(data, source=Choice(data.source.name, own))


def refuse_storage(data: Data, source: Source) -> None:
    """Refuse a crop or a cache that the source cannot give. Raises InputError."""
    if data.cache == "stream" and not source.from_files:
        raise InputError(
            f"data.cache=stream reads image files and {data.source.name} has none: "
            "choose data.cache=auto or memory"
        )
    if data.crop == "resized" and not source.from_files:
        raise InputError(
            f"data.crop=resized crops image files and {data.source.name} has none: "
            "choose data.crop=pad or none"
        )
    if data.crop == "resized" and data.cache == "memory":
        raise InputError(
            "data.cache=memory keeps images at their final size, which data.crop=resized "
            "cannot crop from: choose data.cache=stream, or data.crop=pad"
        )


def resolve_classes(data: Data, source: Source) -> Data:
    """`data.num_classes=auto` -> the data's. Raises InputError for fewer than the data have."""
    present, asked = len(source.class_names), data.num_classes
    if asked == "auto":
        return replace(data, num_classes=present)
    if asked < present:
        raise InputError(
            f"data.num_classes={asked} and the data have {present} classes: "
            f"choose data.num_classes >= {present}, or auto"
        )
    return data
