"""Hydra inside our process: its arguments checked, its flags repeated, its errors raised.

Hydra reads `sys.argv`, and prints its errors unless HYDRA_FULL_ERROR is set.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from senet_train.config.resolvers import config_dir
from senet_train.config.strangers import environment_of, refuse_strangers
from senet_train.config.suggest import no_such_flag
from senet_train.config.typed_words import as_meant, key_of
from senet_train.errors import InputError

# What the user set HYDRA_FULL_ERROR to, for a process that repeats this command.
USERS_FULL_ERROR = "SENET_TRAIN_FULL_ERROR"


@contextmanager
def hydra_raises() -> Iterator[bool]:
    """Make Hydra raise its errors, so that we print them; whether the user wants tracebacks."""
    before = {name: os.environ.get(name) for name in ("HYDRA_FULL_ERROR", USERS_FULL_ERROR)}
    os.environ.setdefault(USERS_FULL_ERROR, before["HYDRA_FULL_ERROR"] or "")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield os.environ[USERS_FULL_ERROR] == "1"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def hydra_arguments(argv: Sequence[str]) -> Iterator[None]:
    """For the block, `sys.argv` is the command with these arguments. Raises InputError."""
    check_arguments(expanded(argv))
    before = sys.argv
    flags = [*search_flags(expanded(argv)), *help_flags(expanded(argv))]
    argv = [*as_meant(flags_first(expanded(argv))), *flags]
    sys.argv = ["senet-train", *argv]
    try:
        with folders_of_users(argv):
            yield
    finally:
        sys.argv = before


def expanded(argv: Sequence[str]) -> list[str]:
    """`--config-dir=~/mine` -> `--config-dir=/home/me/mine`: a shell leaves it so behind `=`."""
    flags = (word.partition("=") if word.startswith("--") else (word, "", "") for word in argv)
    return [key + sign + os.path.expanduser(value) for key, sign, value in flags]


def flags_first(argv: Sequence[str]) -> list[str]:
    """The arguments with flags before settings: Hydra reads no setting behind a later flag."""
    settings = get_args_parser().parse_intermixed_args(list(argv)).overrides
    flags = list(argv)
    for word in settings:
        flags.remove(word)
    return [*flags, *settings]


def check_arguments(argv: Sequence[str]) -> None:
    """Refuse what Hydra would answer with a page of usage, by unpickling, or by running it.

    Raises InputError.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        if unknown in argv and not message.startswith(unknown):
            raise InputError(no_such_flag(argv[list(argv).index(unknown) :]))
        raise InputError(f"{message}: see senet-train --help")

    parser.error = refuse  # type: ignore[method-assign]
    parsed = parser.parse_intermixed_args(list(argv))
    if parsed.experimental_rerun:
        raise InputError("--experimental-rerun reads a pickle: repeat the command instead")
    refuse_unobeyed(parsed.overrides)


# Settings of Hydra that would do something else than they say here -> the value that does nothing,
# and what to do instead.
NAMED_BY_US = "output_dir=DIR is where runs are made, each in a folder named by what it is"
LOGGED_BY_US = "leave it out, each run writes run.log in its own folder"
UNOBEYED = {
    "hydra.run.dir": (".", NAMED_BY_US),
    "hydra.sweep.dir": (".", NAMED_BY_US),
    "hydra.sweep.subdir": (".", NAMED_BY_US),
    "hydra.job.chdir": ("false", NAMED_BY_US),
    "hydra.output_subdir": ("null", "leave it out, each run writes config.yaml in its own folder"),
    "hydra/job_logging": ("none", LOGGED_BY_US),
    "hydra/hydra_logging": ("none", LOGGED_BY_US),
}


def refuse_unobeyed(words: Sequence[str]) -> None:
    """Raises InputError for a setting of Hydra that says where to write: it writes nothing here."""
    for word in words:
        value = word.partition("=")[2].strip("'\"").lower()
        harmless, way_out = UNOBEYED.get(key_of(word), (value, ""))
        if value != harmless:
            raise InputError(f"{word} is not obeyed, as Hydra writes nothing here: {way_out}")


@contextmanager
def folders_of_users(argv: Sequence[str]) -> Iterator[None]:
    """For the block, the command may compose from the configuration folders that it names.

    Raises InputError, and Hydra's errors, where their files would make Hydra act.
    """
    parsed = get_args_parser().parse_args(list(argv))
    folders = [*([parsed.config_dir] if parsed.config_dir else []), *searched(parsed.overrides)]
    if not folders and not parsed.config_path and parsed.config_name in (None, "config"):
        yield
        return
    with environment_of(parsed.overrides):
        refuse_strangers(
            folders,
            parsed.config_path or config_dir(),
            parsed.config_name or "config",
            parsed.overrides,
        )
        yield


def searched(words: Sequence[str]) -> list[str]:
    """The places that `hydra.searchpath=[...]` names."""
    given = [word for word in words if key_of(word) == "hydra.searchpath"]
    values = [OverridesParser.create().parse_override(word).value() for word in given]
    return [str(place) for value in values if isinstance(value, list) for place in value]


def search_flags(argv: Sequence[str]) -> list[str]:
    """`--multirun` for a search: it is a sweep whatever it varies, so that it needs no -m."""
    parsed = get_args_parser().parse_intermixed_args(list(argv))
    shown = parsed.cfg or parsed.info or parsed.shell_completion or parsed.run or parsed.multirun
    return ["--multirun"] if "hydra/sweeper=search" in parsed.overrides and not shown else []


def help_flags(argv: Sequence[str]) -> list[str]:
    """`--resolve` for the help: it shows the values that would be used."""
    parsed = get_args_parser().parse_intermixed_args(list(argv))
    return ["--resolve"] if parsed.help and not parsed.resolve else []


def config_flags() -> list[str]:
    """The flags of this command that choose configuration files, for one that repeats it."""
    parsed = get_args_parser().parse_args(sys.argv[1:])
    flags = ["--config-name", parsed.config_name] if parsed.config_name else []
    for name in ("config_dir", "config_path"):
        if folder := getattr(parsed, name):
            flags += [f"--{name.replace('_', '-')}", os.path.abspath(folder)]
    return [*flags, *(word for word in parsed.overrides if word.startswith("hydra.searchpath="))]
