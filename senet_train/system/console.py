"""Printing for a person: a console as wide as its tables, and text without control characters."""

import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 110  # characters, where nothing else is known


CLOSED_PIPE = 128 + signal.SIGPIPE  # the exit code of a command whose reader has gone


def end_quietly(run: Callable[[], int]) -> int:
    """Run a command and return its exit code; end it quietly when its reader goes (`| head`)."""
    try:
        try:
            code = run()
        except SystemExit as end:  # --help
            code = int(end.code or 0)
        sys.stdout.flush()  # here, as at the interpreter's end an error could not be caught
    except OSError as error:
        if not is_of_the_reader(error):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    return code


def is_of_the_reader(error: BaseException) -> bool:
    """Whether the error means that nobody reads standard output any more."""
    gone = isinstance(error, OSError) and error.errno in (None, errno.EPIPE, errno.EIO)
    return gone and reader_has_gone()


def reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more, or a terminal that is gone."""
    try:
        descriptor = sys.stdout.fileno()
    except (ValueError, io.UnsupportedOperation):  # closed; or no file, as in a notebook
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def output_console(**options: Any) -> "Console":
    """A console that lets `end_quietly` see a closed pipe: rich would exit with code 1."""
    from rich.console import Console  # here: the help of a command need not wait for it

    class Output(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    return Output(**options)


def table_console() -> "Console":
    """Standard output: as wide as the terminal; as wide as tables need for a pipe or a file."""
    console = output_console()
    wide = console.is_terminal or "COLUMNS" in os.environ
    return console if wide else output_console(width=WIDTH)


def printable(text: str) -> str:
    """Characters that a terminal would obey, or could not print, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
