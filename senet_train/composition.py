"""Settings as on senet-train's command line -> the configuration they make, or one line."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from omegaconf.errors import OmegaConfBaseException

from senet_train.config import (
    Config,
    config_dir,
    known_keys,
    read_config,
    register_resolvers,
    suggestion,
    unknown_key,
)
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
