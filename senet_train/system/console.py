"""Printing for a person: tables, lines and a log in which no text steers the terminal."""

import errno
import io
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from senet_train.system.texts import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

WIDTH = 110  # characters, where nothing else is known


CLOSED_PIPE = 128 + 13  # the exit code of a command whose reader has gone: 13 is SIGPIPE
# How the system says that it has. Windows says EINVAL.
READER_GONE = (None, errno.EPIPE, *((errno.EINVAL,) if sys.platform == "win32" else (errno.EIO,)))


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
    return isinstance(error, OSError) and error.errno in READER_GONE and reader_has_gone()


def reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more, or a terminal that is gone."""
    try:
        descriptor = sys.stdout.fileno()
    except (ValueError, io.UnsupportedOperation):  # closed; or no file, as in a notebook
        return False
    if sys.platform == "win32":
        return what_is_printed_stays()
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def what_is_printed_stays() -> bool:
    """Whether what standard output could not write, and keeps for that, cannot be written again."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def output_console(**options: Any) -> "Console":
    """A console that prints any text as it is: no markup in it, and no escapes but rich's own.

    It lets `end_quietly` see a closed pipe, where rich would exit with code 1.
    """
    from rich.console import Console  # here: the help of a command need not wait for it

    class Output(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

        def render(self, *arguments: Any, **settings: Any) -> "Iterable[Segment]":
            for segment in super().render(*arguments, **settings):
                text = segment.text
                clean = segment.control or text.replace("\n", "").isprintable()
                yield segment if clean else segment._replace(text=printable_lines(text))

    return Output(markup=False, emoji=False, **options)


def table_console() -> "Console":
    """Standard output: as wide as the terminal; as wide as tables need for a pipe or a file."""
    console = output_console()
    wide = console.is_terminal or "COLUMNS" in os.environ
    return console if wide else output_console(width=WIDTH)


def say(*lines: str, to_error: bool = False) -> None:
    """Print each line, on standard output or on standard error."""
    print(*map(printable, lines), sep="\n", file=sys.stderr if to_error else sys.stdout, flush=True)


def say_error(error: BaseException, words: str, *, who: str = "", whole: bool = False) -> None:
    """One line on standard error, after the traceback if `whole`."""
    if whole:
        say(*"".join(traceback.format_exception(error)).splitlines(), to_error=True)
    say(f"{who}error: {' '.join(words.split())}", to_error=True)


def printable_lines(text: str) -> str:
    """`printable` for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


class PrintableLines(logging.Formatter):
    """A message in one line; of a traceback each line."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Without what a terminal would obey."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """As above, line by line."""
        return printable_lines(super().formatException(ei))


class CurrentStandardError(logging.StreamHandler):
    """Writes to what `sys.stderr` is at that moment: a live table prints lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def console_log(level: int) -> Iterator[None]:
    """For the block, print the messages of our log to standard error, without level or time."""
    log = logging.getLogger("senet_train")
    handler, before = CurrentStandardError(), log.level
    handler.setFormatter(PrintableLines())
    handler.setLevel(level)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
