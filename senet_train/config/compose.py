"""Settings as on senet-train's command line -> the configuration, or an error of one line."""

import re
from collections.abc import Callable, Iterator, Sequence
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
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from senet_train.config.conf_keys import groups_of_conf
from senet_train.config.read import read_config, unknown_key
from senet_train.config.resolvers import config_dir, register_resolvers
from senet_train.config.schema import Config
from senet_train.config.suggest import no_such_key, no_such_option
from senet_train.config.typed_words import ambiguous, as_meant, unreadable
from senet_train.errors import InputError


def composed(settings: Sequence[str]) -> Config:
    """The configuration that senet-train composes from these settings. Raises InputError."""
    register_resolvers()
    try:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return read_config(compose("config", as_meant(settings)))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain_composition(error)) from error


def explain_composition(error: Exception) -> str:
    """Hydra's error in one line: what was given, and what is possible."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return no_such_option(*group_and_option(error.missing_cfg_file), list(error.options or ()))
    if isinstance(error, OverrideParseException):
        return unreadable(error)
    if isinstance(error, SearchPathException):
        return f"{error}: give a folder that exists"
    if isinstance(error.__cause__, InputError):  # raised by a launcher, which Hydra instantiates
        return str(error.__cause__)
    if key := unknown_key(error):
        return no_such_key(key)
    if isinstance(error, InterpolationResolutionError):  # a key that is not there is one too
        return f"{error.full_key} cannot be resolved: {in_plain_words(error)}"
    for pattern, words in COMPOSITION:
        if found := re.match(pattern, str(error), re.DOTALL):
            return words(*found.groups())
    return f"{error} {error.__cause__ or ''}"


def group_and_option(missing: str) -> tuple[str, str]:
    """`optim/schedule/cos` -> `optim/schedule`, `cos`; `data//home/me` -> `data`, `/home/me`."""
    groups = [group for group in groups_of_conf() if missing.startswith(f"{group}/")]
    group = max(groups, key=len, default=missing.rpartition("/")[0])
    return group, missing.removeprefix(f"{group}/")


# Hydra's message -> ours of its parts.
COMPOSITION: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"Ambiguous value for argument '(.+?)'\n", ambiguous),
    (
        r"Multiple values for ([\w/]+)\. .*'override [^:]+: (\S+)'",
        lambda group, option: f"{group} has a value already: write {group}={option}, without +",
    ),
    (
        r"In '([^']+)': Could not override '([\w/]+)@",
        lambda file, group: (
            f"{file}.yaml changes {group}, which is not below it: its first line "
            "must be # @package _global_"
        ),
    ),
)


def in_plain_words(error: InterpolationResolutionError) -> str:
    """What could not be resolved: a variable that is not set, a key that there is not."""
    message = str(error).partition("\n")[0]
    found = re.search(r"Environment variable '([^']+)' not found", message)
    if found:
        return f"the environment variable {found[1]} is not set"
    return message.removeprefix("InputError raised while resolving interpolation: ")


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


def unread_settings(raw: DictConfig, words: Sequence[str]) -> str:
    """An error line for a ratio or placement in `words` that nothing reads; "" if all are read."""
    attention = raw.attention.name
    reads_ratio = "${ratio}" in str(OmegaConf.to_container(raw, resolve=False))  # YAML takes 30 ms
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
