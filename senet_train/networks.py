"""A model's `Choice` -> its constructor: ours by name, or a library's with slots woven into it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeGuard

from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config import Choice
from senet_train.options import check_options, look_up
from senet_train.weave.arm_weights import find_arm
from senet_train.weave.pretrained import Weights
from senet_train.weave.timm_networks import timm_network, timm_weights
from senet_train.weave.torchvision_networks import torchvision_network, weights_of

Constructor = Callable[..., Backbone]  # `constructor(num_classes, *, options)`


def own_network(name: str) -> Constructor:
    """A backbone of ours. Raises InputError for a name that is none."""
    return look_up(name, BACKBONES, "model", "senet_train.backbone")


# What `model.library` may say; further names come from the entry points `senet_train.library`.
LIBRARIES: dict[str, Callable[[str], Constructor]] = {
    "": own_network,
    "torchvision": torchvision_network,
    "timm": timm_network,
}
# `find(name, pretrained, to_come=...)`: the weights that `model.pretrained` names.
WEIGHTS: dict[str, Callable[..., Weights]] = {"torchvision": weights_of, "timm": timm_weights}


def is_folder(pretrained: object) -> TypeGuard[str]:
    """Whether `model.pretrained` is one, and so an arm's: a library knows of files."""
    return isinstance(pretrained, str) and Path(pretrained).expanduser().is_dir()


def bind_network(
    choice: Choice, *, weights_to_come: bool = False
) -> tuple[partial[Backbone], Choice]:
    """The constructor with its options bound, and the choice with defaults.

    In the choice that is returned, pretrained weights are called by what they are, not where: a
    run is then known by them. With `weights_to_come`, from a run's checkpoint, no file that the
    choice names is read. Raises InputError.
    """
    library = look_up(choice.library, LIBRARIES, "model.library", "senet_train.library")
    constructor = library(choice.name)
    options = check_options(constructor, choice.options, "model")
    pretrained = options.pop("pretrained", False) if choice.library in WEIGHTS else False
    bound, full = partial(constructor, **options), Choice(choice.name, options, choice.library)
    if pretrained is False:  # unsaid, as it was before there was the option
        return bound, full
    if weights_to_come or not is_folder(pretrained):
        weights = WEIGHTS[choice.library](choice.name, pretrained, to_come=weights_to_come)
    else:
        weights = find_arm(pretrained)
    known = replace(full, options=options | {"pretrained": weights.fingerprint})
    return partial(bound, weights=weights), known
