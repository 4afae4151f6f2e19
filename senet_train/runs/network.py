"""A configuration -> its network with attention, as often as it is asked for, and its label.

Training, a trained run and a profile build their networks here, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from senet_train.attention import ATTENTIONS
from senet_train.backbones.slots import Backbone
from senet_train.config.options import bind, defaults
from senet_train.config.schema import Config, Placement
from senet_train.networks.bind import BindNetwork, bind_network
from senet_train.networks.insertion import Slot, build_network, canonical_placement, units_of
from senet_train.networks.weights.find import Weights
from senet_train.runs.identity import drop_later_options, label_of


@dataclass(frozen=True)
class MetaNetwork:
    """A network on the meta device, and what its shapes say about the configuration.

    `placement` is the one way to write the configuration's, `label` the readable name of the arm.
    """

    network: Backbone
    slots: list[Slot]
    placement: Placement
    label: str


class Undrawn(TorchFunctionMode):
    """Weights on the meta device are not drawn: the draws take half the time of a network there."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in (Tensor.normal_, Tensor.uniform_) and args[0].is_meta:
            return args[0]
        return function(*args, **(kwargs or {}))


@dataclass(frozen=True)
class NetworkBuilder:
    """Builds the network that `config.model`, `attention` and `placement` describe.

    In `config` model and attention have all of their options, and pretrained weights are called by
    their fingerprint.
    """

    config: Config
    backbone: partial[Backbone]
    attention: partial[nn.Module]

    @classmethod
    def of(
        cls,
        config: Config,
        bind_model: BindNetwork = bind_network,
        *,
        seeds: Sequence[int] = (),
        load_weights: bool = True,
    ) -> "NetworkBuilder":
        """The builder for a configuration; nothing is built yet. Raises InputError.

        `bind_model` is the task's. `seeds` are those that the arm is to have, where they are not
        the configuration's one. Without `load_weights`, where a checkpoint has them, no file of
        weights is read.
        """
        backbone, model = bind_model(config.model, load_weights=load_weights)
        if weights := weights_of(backbone):
            backbone = partial(backbone, weights=weights.of_seeds(seeds or [config.seed]))
        attention, kind = bind(config.attention, ATTENTIONS, "attention", "senet_train.attention")
        kind = drop_later_options(kind, defaults(attention.func))
        return cls(replace(config, model=model, attention=kind), backbone, attention)

    @property
    def weights(self) -> Weights | None:
        """The pretrained weights that the network starts from."""
        return weights_of(self.backbone)

    def build(self, num_classes: int, *, seed: int = 0) -> tuple[Backbone, list[Slot]]:
        """The network on the device that holds now, and its filled slots. Raises InputError."""
        return build_network(
            self.backbone,
            self.attention,
            self.config.placement,
            num_classes=num_classes,
            seed=seed,
        )

    def build_on_meta(self, num_classes: int) -> MetaNetwork:
        """The network without memory or weights. Raises InputError."""
        with torch.device("meta"), Undrawn():
            network, slots = self.build(num_classes)
        placement = canonical_placement(network, self.config.placement)
        every_stage = list(units_of(network, replace(placement, modules="auto")))
        config = replace(self.config, placement=placement)
        label = label_of(config, defaults(self.attention.func), every_stage)
        return MetaNetwork(network, slots, placement, label)


def weights_of(backbone: partial[Backbone]) -> Weights | None:
    """The pretrained weights that are bound to a constructor."""
    weights: Weights | None = backbone.keywords.get("weights")
    return weights
