"""What the small commands share: arguments refused in one line, ends as exit codes."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from senet_train.errors import InputError, Interrupted, RunError
from senet_train.system.console import printable
from senet_train.system.signals import raise_on_signals


class Parser(argparse.ArgumentParser):
    """Says what is wrong as an InputError; its subcommands are parsed by it too."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise InputError(f"{message}: see {self.prog} --help")


def exit_code_of(command: Callable[[], int], *, kept: str = "") -> int:
    """Run a command; its exit code, its errors as one line on standard error.

    `kept` is what a signal leaves, in words. The traceback comes before the line if the user set
    HYDRA_FULL_ERROR=1.
    """
    try:
        with raise_on_signals():
            return command()
    except SystemExit as end:  # --help
        return int(end.code or 0)
    except Interrupted as end:
        print(f"stopped by {end}{kept and ': '}{kept}", file=sys.stderr)
        return end.exit_code
    except RunError as error:
        return complain(error, error.exit_code)
    except OSError as error:  # a file that the disk has no room for
        return complain(error, 1)


def command(
    parse: Callable[[Sequence[str]], argparse.Namespace],
    run: Callable[[argparse.Namespace], int],
    *,
    kept: str = "",
) -> Callable[..., int]:
    """`main(argv)`, which runs a command and gives its exit code; a console script calls `main()`.

    `kept` is what a signal leaves, in words.
    """

    def main(argv: Sequence[str] | None = None) -> int:
        given = sys.argv[1:] if argv is None else argv
        return exit_code_of(lambda: run(parse(given)), kept=kept)

    return main


def complain(error: Exception, exit_code: int) -> int:
    """Print the error's line; the exit code."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
    return exit_code


def refuse_folder(folder: Path, option: str) -> None:
    """Raises InputError for a place where no folder can be made or written to."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{option} {folder} cannot be made: {existing} is no folder to write to")


def refuse_file(file: Path, option: str, *beginnings: bytes) -> None:
    """Raises InputError for a place where no file can be written, or that holds another's.

    What begins with one of `beginnings` is ours, and may be overwritten.
    """
    if file.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} {file} cannot be written: name a file in a folder of yours")
    if file.exists():
        with open(file, "rb") as there:
            if not there.read(100).startswith(beginnings):
                raise InputError(
                    f"{option} {file} exists and holds something else: name another file"
                )


def at_least_one(text: str) -> int:
    """A count."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no count: choose 1 or more")
    return int(text)
