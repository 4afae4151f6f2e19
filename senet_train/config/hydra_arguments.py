"""Hydra inside our process: its arguments checked, its flags repeated, its errors raised.

Hydra reads `sys.argv`, and prints its errors unless HYDRA_FULL_ERROR is set.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from senet_train.config.read import refuse_code
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
    sys.argv = ["senet-train", *argv, *search_flags(argv)]
    try:
        yield
    finally:
        sys.argv = before


def check_arguments(argv: Sequence[str]) -> None:
    """Refuse what Hydra would answer with a page of usage, by unpickling, or by running it.

    Raises InputError.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}: see senet-train --help")

    parser.error = refuse  # type: ignore[method-assign]
    parsed = parser.parse_args(list(argv))
    if parsed.experimental_rerun:
        raise InputError("--experimental-rerun reads a pickle: repeat the command instead")
    for folder in (parsed.config_dir, parsed.config_path):
        if folder:
            refuse_code(Path(folder))


def search_flags(argv: Sequence[str]) -> list[str]:
    """`--multirun` for a search: it is a sweep whatever it varies, so that it needs no -m."""
    parsed = get_args_parser().parse_args(list(argv))
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
