"""A model's `Choice` -> its constructor: ours by name, or a library's with slots woven into it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeGuard

from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config.options import check_options, look_up
from senet_train.config.schema import Choice
from senet_train.errors import InputError
from senet_train.networks.heads.network import NetworkWithHead
from senet_train.networks.libraries.timm import timm_network, timm_weights
from senet_train.networks.libraries.torchvision import torchvision_network, weights_of
from senet_train.networks.weights.arm import find_arm
from senet_train.networks.weights.find import Weights

Constructor = Callable[..., Backbone]  # `constructor(num_classes, *, options)`


class BindNetwork(Protocol):
    """How a task binds a model: `bind_network`, or `bind_with_head` with the task's head."""

    def __call__(
        self, choice: Choice, *, load_weights: bool = True
    ) -> tuple[partial[Backbone], Choice]:
        """The constructor with its options bound, and the choice with defaults.

        Raises InputError.
        """
        ...


def our_backbone(name: str) -> Constructor:
    """A backbone of ours. Raises InputError for a name that is none."""
    return look_up(name, BACKBONES, "model", "senet_train.backbone")


# What `model.library` may say; further names come from the entry points `senet_train.library`.
LIBRARIES: dict[str, Callable[[str], Constructor]] = {
    "": our_backbone,
    "torchvision": torchvision_network,
    "timm": timm_network,
}
# `find(name, pretrained, load_weights=...)`: the weights that `model.pretrained` names.
WEIGHTS: dict[str, Callable[..., Weights]] = {"torchvision": weights_of, "timm": timm_weights}


def is_folder(pretrained: object) -> TypeGuard[str]:
    """Whether `model.pretrained` is a folder, which only an arm's can be."""
    return isinstance(pretrained, str) and Path(pretrained).expanduser().is_dir()


def bind_network(choice: Choice, *, load_weights: bool = True) -> tuple[partial[Backbone], Choice]:
    """The constructor with its options bound, and the choice with defaults.

    The choice that is returned, which makes a run's identity, has the fingerprint of pretrained
    weights in place of their path. Without `load_weights`, where a checkpoint has them, no file
    that the choice names is read. Raises InputError.
    """
    library = look_up(choice.library, LIBRARIES, "model.library", "senet_train.library")
    constructor = library(choice.name)
    options = check_options(constructor, choice.options, "model")
    pretrained = options.pop("pretrained", False) if choice.library in WEIGHTS else False
    bound, full = partial(constructor, **options), Choice(choice.name, options, choice.library)
    if pretrained is False:  # unsaid, as it was before there was the option
        return bound, full
    if not load_weights or not is_folder(pretrained):
        weights = WEIGHTS[choice.library](choice.name, pretrained, load_weights=load_weights)
    else:
        weights = find_arm(pretrained)
    known = replace(full, options=options | {"pretrained": weights.fingerprint})
    return partial(bound, weights=weights), known


AddHead = Callable[[Backbone, int], NetworkWithHead]  # `add_head(backbone, num_classes)`
Library = Callable[[str], Callable[..., NetworkWithHead]]


def bind_with_head(
    add_head: AddHead,
    libraries: Mapping[str, Library],
    choice: Choice,
    *,
    load_weights: bool = True,
) -> tuple[partial[Backbone], Choice]:
    """The constructor with its options bound, and the choice with defaults.

    Without a library the name is that of a backbone of ours, to which `add_head` adds the task's
    head; a library has whole networks. None of them has pretrained weights, so that
    `load_weights` changes nothing. Raises InputError.
    """
    options = dict(choice.options)
    if choice.library and options.pop("pretrained", False) is not False:
        raise InputError(
            f"model.pretrained={choice.options['pretrained']} is for task=classification: "
            "detectors and segmenters start from scratch, leave it out"
        )
    if not choice.library:
        backbone = our_backbone(choice.name)
        options = check_options(backbone, options, "model")
        bound = partial(build_with_head, add_head, partial(backbone, **options))
        return bound, Choice(choice.name, options)
    if choice.library in set(LIBRARIES) - set(libraries):
        raise InputError(
            f"model.library={choice.library} is for task=classification: choose a backbone of "
            f"ours, or one of {', '.join(libraries)}"
        )
    library = look_up(choice.library, libraries, "model.library", "senet_train.larger")
    constructor = library(choice.name)
    options = check_options(constructor, options, "model")
    return partial(constructor, **options), Choice(choice.name, options, choice.library)


def build_with_head(
    add_head: AddHead, backbone: Callable[..., Backbone], num_classes: int
) -> Backbone:
    """A backbone with the task's head on it."""
    return add_head(backbone(num_classes), num_classes)
