"""Settings as on senet-train's command line -> the configuration they make, or one line."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from senet_train.config.read import known_keys, read_config, suggestion, unknown_key
from senet_train.config.schema import Config
from senet_train.errors import InputError


def composed(settings: Sequence[str]) -> Config:
    """What senet-train would train with these settings. Raises InputError."""
    register_resolvers()
    try:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return read_config(compose("config", list(settings)))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain_composition(error)) from error


def explain_composition(error: Exception) -> str:
    """Hydra's many lines in one: what was given, and what could have been."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group}={name} is none of the options: {', '.join(error.options or ())}"
    if isinstance(error, OverrideParseException):
        return f"{error.override} is no setting: write key=value (and a list as key=[a,b])"
    if isinstance(error, SearchPathException):
        return f"{error}: give a folder that exists"
    if isinstance(error.__cause__, InputError):  # of a launcher, which Hydra builds
        return str(error.__cause__)
    if key := unknown_key(error):
        return f"there is no key {key}{suggestion(key, known_keys())}"
    return f"{error} {error.__cause__ or ''}"


def combinations(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """`a=1,2 b=3` -> `a=1 b=3`, then `a=2 b=3`."""
    choices = []
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            values = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            values = [f"{key}={override.get_value_element_as_str()}"]
        choices.append([key] if override.is_delete() else values)
    for combination in product(*choices):
        yield list(combination)


def key_of(setting: str) -> str:
    """`+data.flip=true` -> `data.flip`; `a@b=c` -> `a`."""
    return setting.lstrip("+~").partition("=")[0].partition("@")[0]


def unread_settings(raw: DictConfig, words: Sequence[str]) -> str:
    """A line on a ratio or placement among the words that nothing reads; "" if all are read."""
    attention = raw.attention.name
    reads_ratio = "${ratio}" in OmegaConf.to_yaml(raw, resolve=False)
    unread = [
        word
        for word in (override.lstrip("+") for override in words)
        if (word.startswith("ratio=") and not reads_ratio)
        or (word.startswith("placement.") and attention == "none")
    ]
    if not unread:
        return ""
    return (
        f"{' '.join(unread)} changes nothing, as nothing reads it with attention={attention}: "
        "leave it out, or choose another model or attention"
    )


def config_dir() -> str:
    """The conf/ folder: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parent.parent
    packaged = package / "conf"
    return str(packaged if packaged.is_dir() else package.parent / "conf")


def stem_for(image_size: object) -> str:
    """The stem that suits an image size: an ImageNet stem leaves 1 pixel of a 32 px image."""
    return "imagenet" if isinstance(image_size, int) and image_size > 64 else "cifar"


def crop_for(image_size: object) -> str:
    """The usual training crop for an image size: padded for CIFAR's, resized for ImageNet's."""
    return "resized" if isinstance(image_size, int) and image_size > 64 else "pad"


def identity_for(pretrained: object) -> bool:
    """Whether attention starts as the identity: in a network that has learnt something it does."""
    return pretrained is not False


def mode_for(seeds: Any, arms: Any, seed: Any) -> str | None:
    """`MULTIRUN` for a preset with arms or for more seeds than one, so that no -m is needed."""
    return "MULTIRUN" if arms or seeds != [seed] else None


def register_resolvers() -> None:
    """Make the functions above available to conf/; they compute and never refuse."""
    OmegaConf.register_new_resolver("mode_for", mode_for, replace=True)
    OmegaConf.register_new_resolver("stem_for", stem_for, replace=True)
    OmegaConf.register_new_resolver("crop_for", crop_for, replace=True)
    OmegaConf.register_new_resolver("identity_for", identity_for, replace=True)
