"""Settings as on senet-train's command line -> the configuration, or an error of one line."""

from collections.abc import Iterator, Sequence
from itertools import product

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
from senet_train.config.resolvers import config_dir, register_resolvers
from senet_train.config.schema import Config
from senet_train.errors import InputError


def composed(settings: Sequence[str]) -> Config:
    """The configuration that senet-train composes from these settings. Raises InputError."""
    register_resolvers()
    try:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return read_config(compose("config", list(settings)))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain_composition(error)) from error


def explain_composition(error: Exception) -> str:
    """Hydra's error in one line: what was given, and what is possible."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group}={name} is none of the options: {', '.join(error.options or ())}"
    if isinstance(error, OverrideParseException):
        return f"{error.override} is no setting: write key=value (and a list as key=[a,b])"
    if isinstance(error, SearchPathException):
        return f"{error}: give a folder that exists"
    if isinstance(error.__cause__, InputError):  # raised by a launcher, which Hydra instantiates
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
    """An error line for a ratio or placement in `words` that nothing reads; "" if all are read."""
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
