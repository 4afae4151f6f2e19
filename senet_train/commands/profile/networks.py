"""A configuration -> the network to profile, and the same network without attention."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from senet_train.backbones.slots import Backbone
from senet_train.commands.profile.counts import AttentionOperations, attention_operations
from senet_train.commands.profile.requested import RequestedNetwork
from senet_train.config.image_size import ImageSize
from senet_train.config.schema import Choice, Config, Kernel, Placement, Precision
from senet_train.data.find import find_data, resolve_data
from senet_train.errors import InputError
from senet_train.networks.cost import NetworkCost, measure_cost
from senet_train.networks.hardware import TAILS, choose_kernel, choose_precision
from senet_train.networks.insertion import Slot
from senet_train.runs.network import NetworkBuilder
from senet_train.runs.trained.load import load_run


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that a network's cost depends on: equal specs are one network.

    It is counted and timed on images of `image_size`, as it is tested, and trained on
    images of `train_size`.
    """

    model: Choice
    attention: Choice
    placement: Placement
    num_classes: int
    image_size: ImageSize
    train_size: ImageSize
    channels_last: bool
    kernel: Kernel
    config: Config = field(compare=False)  # the rest of it, for the label

    def without_attention(self) -> "NetworkSpec":
        """The spec of the same network without attention."""
        return replace(self, attention=Choice("none"), placement=Placement())


@dataclass(frozen=True)
class Built:
    """A network on its device, its attention slots, and its counts."""

    spec: NetworkSpec
    label: str
    network: Backbone
    slots: list[Slot]
    cost: NetworkCost
    operations: AttentionOperations

    @property
    def own_attention(self) -> int:
        """How many attention modules of the network itself were taken out."""
        return len(self.network.taken_out)


def request_run(path: Path) -> RequestedNetwork:
    """A run's network; the kernel is this machine's. Raises InputError for what is no run."""
    config = load_run(path).config
    config = replace(config, trainer=replace(config.trainer, kernel="auto"))
    return RequestedNetwork(str(path), config)


def spec_of(config: Config, device: torch.device) -> NetworkSpec:
    """The spec of a configuration. Looks for the data only if num_classes is auto.

    Raises InputError."""
    data, trainer = config.data, config.trainer
    if trainer.kernel == "compiled":
        raise InputError(
            "trainer.kernel=compiled is for training, and senet-profile measures a network module "
            "by module: choose trainer.kernel=auto or composed"
        )
    if data.num_classes == "auto":
        source, data = find_data(data)
        data = resolve_data(data, source)
    spec = NetworkSpec(
        model=config.model,
        attention=config.attention,
        placement=config.placement,
        num_classes=int(data.num_classes),
        image_size=data.size_of_test,
        train_size=data.image_size,
        channels_last=trainer.channels_last,
        kernel=choose_kernel(trainer.kernel, accelerator_of(device), trainer.channels_last, True),
        config=config,
    )
    return spec.without_attention() if config.attention.name == "none" else spec


def build(spec: NetworkSpec, device: torch.device) -> Built:
    """Counted on the meta device, then built on this one. Raises InputError."""
    config = replace(
        spec.config, model=spec.model, attention=spec.attention, placement=spec.placement
    )
    builder = NetworkBuilder.of(config, load_weights=False)
    counted = builder.build_on_meta(spec.num_classes)
    with torch.device("meta"):
        cost = measure_cost(counted.network, counted.slots, spec.image_size)
        operations = attention_operations(counted.network, counted.slots, spec.image_size)
    network, slots = builder.build(spec.num_classes)
    if spec.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network.use_tail(TAILS[spec.kernel])
    filled = [] if spec.attention.name == "none" else slots
    return Built(spec, counted.label, network.to(device), filled, cost, operations)


def accelerator_of(device: torch.device) -> str:
    """The name of the device in `trainer.accelerator`."""
    return "gpu" if device.type == "cuda" else "cpu"


def precisions(device: torch.device) -> list[Precision]:
    """float32, and the precision that senet-train would choose here if it is another."""
    return list(dict.fromkeys((32, choose_precision("auto", accelerator_of(device)))))
