"""Checks of settings that are wrong only together. Each raises InputError."""

from collections.abc import Callable, Sequence

import torch

from senet_train.backbones.slots import Backbone
from senet_train.config.image_size import height_width, typed_size
from senet_train.config.schema import Config, Data, Optim, Trainer
from senet_train.errors import InputError
from senet_train.networks.cost import NetworkCost, measure_cost
from senet_train.networks.depth import depths_of
from senet_train.networks.determinism import not_deterministic
from senet_train.networks.hardware import choose_accelerator
from senet_train.networks.insertion import Slot
from senet_train.system.cards import card_fault
from senet_train.training.distributed.batch_norm import unknown_batch_norms
from senet_train.training.distributed.world import world
from senet_train.training.parameters import freeze_backbone, new_prefixes


def cost_at(network: Backbone, slots: list[Slot], data: Data) -> NetworkCost:
    """The cost of one test image. Raises InputError for a size that the network cannot take."""
    try:
        cost = measure_cost(network, slots, data.image_size)
    except RuntimeError as error:
        raise InputError(
            f"data.image_size={typed_size(data.image_size)} is too small for this network "
            f"({error}): choose a larger one"
        ) from error
    if data.test_size == "auto":
        return cost
    try:
        return measure_cost(network, slots, data.test_size)
    except RuntimeError as error:
        raise InputError(
            f"data.test_size={typed_size(data.test_size)} is not for this network ({error}): "
            f"choose one nearer to data.image_size={typed_size(data.image_size)}, or auto"
        ) from error


def refuse_batch(network: Backbone, data: Data) -> None:
    """Raises InputError if the network cannot train on one image: a forward pass on meta tells.

    BatchNorm cannot normalise a single value per channel: one image with a 1x1 map. Two images
    always give it two; the pass would take a quarter of a second for ResNet-50.
    """
    if data.batch_size > 1:
        return
    try:
        network.train()(torch.empty(1, 3, *height_width(data.image_size)))
    except ValueError as error:
        raise InputError(
            f"data.batch_size={data.batch_size} cannot be trained on ({error}): "
            "choose data.batch_size >= 2"
        ) from error


def refuse_mixing(network: Backbone, devices: int) -> None:
    """Raises InputError for attention across the images of a batch on several processes."""
    if devices > 1 and any(getattr(module, "mixes_images", False) for module in network.modules()):
        raise InputError(
            f"this attention takes something of another image of the batch, and trainer.devices="
            f"{devices} puts them in several processes: choose trainer.devices=1"
        )


def refuse_unknown_norms(network: Backbone, devices: int) -> None:
    """Raises InputError for a BatchNorm that cannot be synchronised over several processes."""
    unknown = unknown_batch_norms(network) if devices > 1 else set()
    if unknown:
        raise InputError(
            f"{', '.join(sorted(unknown))}, a BatchNorm with a forward pass of its own, would have "
            f"the statistics of each of trainer.devices={devices} processes: choose "
            "trainer.devices=1"
        )


def refuse_not_deterministic(network: Backbone, slots: Sequence[Slot], config: Config) -> None:
    """Raises InputError for a network on meta that `deterministic=true` would stop on a GPU."""
    if not (config.trainer.deterministic and config.trainer.accelerator == "gpu"):
        return
    if config.optim.frozen == "backbone":
        freeze_backbone(network, new_prefixes(network, slots))
    for found in not_deterministic(network, config.data.image_size):
        raise InputError(
            f"trainer.deterministic=true and this network has {found}, which PyTorch cannot train "
            "deterministically on a GPU: choose trainer.deterministic=false, "
            "trainer.accelerator=cpu, or another network"
        )


def refuse_layer_decay(network: Backbone, optim: Optim) -> None:
    """Raises InputError for `layer_decay` on a network without blocks to count."""
    if optim.layer_decay != 1:
        depths_of(network)


def refuse_optim(config: Config) -> None:
    """Raises InputError for settings of the optimizer that contradict each other."""
    optim, epochs = config.optim, config.trainer.max_epochs
    options = optim.algorithm.options
    if options.get("nesterov") and options["momentum"] == 0:
        raise InputError(
            "optim.momentum=0 with optim.nesterov=true: Nesterov's step needs momentum, "
            "choose optim.nesterov=false"
        )
    if optim.warmup_epochs >= epochs:
        raise InputError(
            f"optim.warmup_epochs={optim.warmup_epochs} leaves none of trainer.max_epochs={epochs} "
            f"at the peak rate: choose optim.warmup_epochs < {epochs}"
        )
    for key in ("backbone_lr_factor", "layer_decay"):
        if optim.frozen == "backbone" and getattr(optim, key) != 1:
            raise InputError(
                f"optim.{key}={getattr(optim, key)} changes nothing with "
                "optim.frozen=backbone: leave one of them out"
            )


def refuse_overflows(trainer: Trainer, name: str, optimizer: Callable[..., object]) -> None:
    """Raises InputError for a loss scale with an optimizer that cannot leave out a step for it."""
    if trainer.precision == "16-mixed" and not getattr(optimizer, "skips_overflows", False):
        raise InputError(
            f"optim={name} with trainer.precision=16-mixed: it cannot leave out the steps whose "
            "gradients overflow, choose trainer.precision=bf16-mixed or 32, or optim=adamw"
        )


def refuse_compiled(config: Config, *, compiles: bool) -> None:
    """Raises InputError where `trainer.kernel=compiled` was asked for and cannot be had.

    `compiles` says whether the task can be compiled.
    """
    if config.trainer.kernel != "compiled":
        return
    way_out = "choose trainer.kernel=auto or composed"
    if not compiles:
        raise InputError(
            f"trainer.kernel=compiled is not for task={config.task}, whose images have any number "
            f"of objects: {way_out}"
        )
    if config.trainer.deterministic:
        raise InputError(
            "trainer.kernel=compiled with trainer.deterministic=true: torch.compile chooses some "
            f"kernels by timing them, so that two runs may differ in rounding: {way_out}"
        )


def refuse_devices(config: Config, *, made_here: bool) -> None:
    """Raises InputError if `trainer.devices` does not match the processes, GPUs or batch.

    The GPUs only of a run that is made here: a job of a cluster runs where there may be others.
    """
    devices, processes = config.trainer.devices, world().size
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
    if not made_here:
        return
    here = devices if processes == 1 else world().local_size
    accelerator = choose_accelerator(config.trainer.accelerator)
    if accelerator == "gpu":
        refuse_cards(devices, here)
    if accelerator == "mps" and devices > 1:
        raise InputError(
            f"trainer.devices={devices} and a Mac has one GPU: choose trainer.devices=1, or "
            "trainer.accelerator=cpu"
        )


def refuse_cards(devices: int, here: int) -> None:
    """Raises InputError unless this machine has a usable GPU for each of its processes."""
    present = torch.cuda.device_count()
    if here > present:
        raise InputError(f"trainer.devices={devices} and there are {present} GPUs: choose fewer")
    for fault in filter(None, map(card_fault, range(here))):
        raise InputError(
            f"trainer.devices={devices} and {fault}: choose fewer, or name the others in "
            "CUDA_VISIBLE_DEVICES"
        )
