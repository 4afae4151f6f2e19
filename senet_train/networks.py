"""A model's `Choice` -> its constructor: ours by name, or a library's with slots woven into it."""

from collections.abc import Callable
from functools import partial

from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config import Choice
from senet_train.options import check_options, look_up
from senet_train.weave.torchvision_networks import torchvision_network

Constructor = Callable[..., Backbone]  # `constructor(num_classes, *, options)`


def own_network(name: str) -> Constructor:
    """A backbone of ours. Raises InputError for a name that is none."""
    return look_up(name, BACKBONES, "model", "senet_train.backbone")


# What `model.library` may say; further names come from the entry points `senet_train.library`.
LIBRARIES: dict[str, Callable[[str], Constructor]] = {
    "": own_network,
    "torchvision": torchvision_network,
}


def bind_network(choice: Choice) -> tuple[partial[Backbone], Choice]:
    """The constructor with its options bound, and the choice with defaults. Raises InputError."""
    library = look_up(choice.library, LIBRARIES, "model.library", "senet_train.library")
    constructor = library(choice.name)
    options = check_options(constructor, choice.options, "model")
    return partial(constructor, **options), Choice(choice.name, options, choice.library)
