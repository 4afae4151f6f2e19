"""Hydra inside our process: its arguments checked, its flags repeated, its errors raised.

Hydra reads `sys.argv`, and prints its errors unless HYDRA_FULL_ERROR is set.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import yaml
from hydra._internal.utils import get_args_parser

from senet_train.config.read import refuse_code
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
    check_arguments(argv)
    before = sys.argv
    sys.argv = ["senet-train", *as_meant(flags_first(argv)), *search_flags(argv)]
    try:
        yield
    finally:
        sys.argv = before


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
    for folder in (parsed.config_dir, parsed.config_path):
        if folder:
            refuse_code(Path(folder))
            refuse_unobeyed(list(unobeyed_in(Path(folder))))


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


def unobeyed_in(folder: Path) -> Iterator[str]:
    """Such settings in the files of a configuration folder, as words."""
    for file in sorted(folder.rglob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        for key in UNOBEYED:
            node = content
            for part in key.split("."):
                node = node.get(part, NOTHING) if isinstance(node, dict) else NOTHING
            if node is not NOTHING:
                yield f"{key}={json.dumps(node, default=str)}"


NOTHING = object()


def search_flags(argv: Sequence[str]) -> list[str]:
    """`--multirun` for a search: it is a sweep whatever it varies, so that it needs no -m."""
    parsed = get_args_parser().parse_intermixed_args(list(argv))
    shown = parsed.cfg or parsed.info or parsed.shell_completion or parsed.run or parsed.multirun
    return ["--multirun"] if "hydra/sweeper=search" in parsed.overrides and not shown else []


def config_flags() -> list[str]:
    """The flags of this command that choose configuration files, for one that repeats it."""
    parsed = get_args_parser().parse_args(sys.argv[1:])
    flags = ["--config-name", parsed.config_name] if parsed.config_name else []
    for name in ("config_dir", "config_path"):
        if folder := getattr(parsed, name):
            flags += [f"--{name.replace('_', '-')}", os.path.abspath(folder)]
    return [*flags, *(word for word in parsed.overrides if word.startswith("hydra.searchpath="))]
