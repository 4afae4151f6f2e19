"""A model's `Choice` -> the constructor of a network around a backbone."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from senet_train.backbones.slots import Backbone
from senet_train.config import Choice
from senet_train.errors import InputError
from senet_train.larger.network import LargerNetwork
from senet_train.networks import LIBRARIES, own_network
from senet_train.options import check_options, look_up

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
