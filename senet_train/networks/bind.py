"""A model's `Choice` -> its constructor: ours by name, or a library's with slots woven into it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config.options import check_options, look_up
from senet_train.config.schema import Choice
from senet_train.errors import InputError
from senet_train.networks.heads.network import LargerNetwork
from senet_train.networks.libraries.timm import timm_network, timm_weights
from senet_train.networks.libraries.torchvision import torchvision_network, weights_of
from senet_train.networks.weights.find import Weights
from senet_train.networks.weights.of_an_arm import find_arm

Constructor = Callable[..., Backbone]  # `constructor(num_classes, *, options)`


class BindNetwork(Protocol):
    """What a task binds a model by: `bind_network`, or `bind_larger` with the task's head."""

    def __call__(
        self, choice: Choice, *, weights_to_come: bool = False
    ) -> tuple[partial[Backbone], Choice]:
        """The constructor with its options bound, and the choice with defaults.

        Raises InputError.
        """
        ...


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


Around = Callable[[Backbone, int], LargerNetwork]
Library = Callable[[str], Callable[..., LargerNetwork]]


def bind_larger(
    around: Around,
    libraries: Mapping[str, Library],
    choice: Choice,
    *,
    weights_to_come: bool = False,
) -> tuple[partial[Backbone], Choice]:
    """The constructor with its options bound, and the choice with defaults.

    A name of ours is that of a backbone, which `around` puts the task's head on; a library has
    whole networks. None of them has pretrained weights, so that `weights_to_come` changes nothing.
    Raises InputError.
    """
    options = dict(choice.options)
    if choice.library and options.pop("pretrained", False) is not False:
        raise InputError(
            f"model.pretrained={choice.options['pretrained']} is for task=classification: "
            "detectors and segmenters start from scratch, leave it out"
        )
    if not choice.library:
        body = own_network(choice.name)
        options = check_options(body, options, "model")
        return partial(built_around, around, partial(body, **options)), Choice(choice.name, options)
    if choice.library in set(LIBRARIES) - set(libraries):
        raise InputError(
            f"model.library={choice.library} is for task=classification: choose a backbone of "
            f"ours, or one of {', '.join(libraries)}"
        )
    library = look_up(choice.library, libraries, "model.library", "senet_train.larger")
    constructor = library(choice.name)
    options = check_options(constructor, options, "model")
    return partial(constructor, **options), Choice(choice.name, options, choice.library)


def built_around(around: Around, body: Callable[..., Backbone], num_classes: int) -> Any:
    """A backbone, and the task's head on it."""
    return around(body(num_classes), num_classes)
