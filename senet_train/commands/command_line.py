"""What the small commands share: parsing, refusals in one line, exit codes."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from senet_train.errors import InputError, Interrupted, RunError, in_the_way
from senet_train.system.console import console_log, end_quietly, say, say_error
from senet_train.system.signals import raise_on_signals
from senet_train.system.start import refuse_deleted_folder, start_process


class Parser(argparse.ArgumentParser):
    """Raises InputError for wrong arguments, also those of a subcommand."""

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        """As argparse does, and `~` of a path is expanded: a shell leaves it behind `--out=`."""
        found, rest = super().parse_known_args(*arguments, **options)
        for name, value in vars(found).items():
            if isinstance(value, Path):
                setattr(found, name, value.expanduser())
            elif isinstance(value, list) and all(isinstance(each, Path) for each in value):
                setattr(found, name, [each.expanduser() for each in value])
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Raises InputError with argparse's message."""
        raise InputError(f"{message}: see {self.prog} --help")


def exit_code_of(command: Callable[[], int], *, kept: str = "") -> int:
    """Run a command and return its exit code; an error becomes one line on standard error.

    `kept` says in words what is kept when a signal ends the command. A traceback comes before the
    line if the user set HYDRA_FULL_ERROR=1.
    """
    with raise_on_signals():  # till the last line is printed
        try:
            return exit_code_or_signal(command)
        except Interrupted as end:
            say(f"stopped by {end}{kept and ': '}{kept}", to_error=True)
            return end.exit_code


def exit_code_or_signal(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; its errors become a line. Raises Interrupted."""
    try:
        refuse_deleted_folder()
        with console_log(logging.WARNING):
            return end_quietly(command)
    except RunError as error:
        return print_error(error, str(error), error.exit_code)
    except OSError as error:  # the disk is full, say
        return print_error(error, in_the_way(error) or str(error), 1)


def write_then_print(write: Callable[[], Sequence[str]], show: Callable[[], None]) -> None:
    """Write files, print what they are about, and then the lines that `write` returns.

    In this order: a reader that goes, as `| head` does, ends the command where it prints. What is
    printed is printed also where writing fails.
    """
    try:
        lines = write()
    finally:
        show()
    for line in lines:
        say(line)


def command(
    parse: Callable[[Sequence[str]], argparse.Namespace],
    run: Callable[[argparse.Namespace], int],
    *,
    kept: str = "the same line begins anew",
) -> Callable[..., int]:
    """The function `main(argv)` of a command, which returns its exit code.

    Console scripts call `main()`. `kept` says in words what is kept when a signal ends the command.
    """

    def main(argv: Sequence[str] | None = None) -> int:
        given = sys.argv[1:] if argv is None else argv
        if argv is None:  # a process of its own
            start_process()
        return exit_code_of(lambda: run(parse(given)), kept=kept)

    return main


def print_error(error: Exception, words: str, exit_code: int) -> int:
    """Print the error on one line; return the exit code."""
    say_error(error, words, whole=os.environ.get("HYDRA_FULL_ERROR") == "1")
    return exit_code


def refuse_folder(folder: Path, option: str) -> None:
    """Raises InputError where no folder can be made or written to."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{option} {folder} cannot be made: {existing} is no folder to write to")


def refuse_file(file: Path, option: str, *beginnings: bytes) -> None:
    """Raises InputError where no file can be written, or another program's file would be lost.

    A file that begins with one of `beginnings` was written by the same command and may be replaced.
    """
    special = file.exists() and not file.is_file()  # a folder; a pipe, which would be waited for
    if special or not os.access(file.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} {file} cannot be written: name a file in a folder of yours")
    if file.exists():
        with open(file, "rb") as there:
            if not there.read(100).startswith(beginnings):
                raise InputError(
                    f"{option} {file} exists and holds something else: name another file"
                )


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN of a command that uses one trained run."""
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="a run's folder, or a checkpoint in it; of an arm with one seed, the arm's folder",
    )


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """The option `--batch-size N` of a command that sends images through a network."""
    parser.add_argument(
        "--batch-size",
        type=at_least_one,
        metavar="N",
        help="images at a time (default: what this machine has room for)",
    )


def at_least_one(text: str) -> int:
    """A count, for `type=`. Raises ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no count: choose 1 or more")
    return int(text)
