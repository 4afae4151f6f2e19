"""What a command does first in a process of its own: its path, its standard streams, and Ctrl-C."""

import gc
import io
import os
import signal
import sys
from typing import Any

from senet_train.errors import InputError
from senet_train.system.resources import wait_passively_where_cores_are_shared
from senet_train.system.safe_path import take_out_the_working_folder

STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))


def start_process() -> None:
    """Before anything else of a command. Call it where the process is the command's own."""
    take_out_the_working_folder()
    open_missing_streams()
    if sys.platform == "win32":
        print_utf_8()
    sys.stderr = losing(sys.stderr.fileno())
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Before and after our own handler it ends the process as well, but without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    wait_passively_where_cores_are_shared()
    collect_rarely()


def collect_rarely() -> None:
    """Have the garbage collector look through all objects a tenth as often as Python does.

    What is imported stays, a million objects with torch: a tenth of the time of the imports went
    into looking for garbage among them.
    """
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 100)


def print_utf_8() -> None:
    """Into files and pipes, here and in interpreters that this process starts.

    Windows has an encoding of the country for them, in which no table can be printed. A name there
    may hold half a character, which has no UTF-8 either: it ends no command.
    """
    os.environ.setdefault("PYTHONUTF8", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def open_missing_streams() -> None:
    """Open the standard streams that this process was started without (`2>&-`): they lead nowhere.

    Otherwise a file of the run would get the number of one, and what a library prints.
    """
    for descriptor, (name, flags) in enumerate(STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # it gets the lowest free number
        if getattr(sys, name) is None:
            mode = "r" if flags == os.O_RDONLY else "w"
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


class LosingFile(io.FileIO):
    """A file for messages: one that cannot be written is lost, and what goes on is not."""

    def write(self, message: Any, /) -> int:
        """As a file does, without an error: its terminal may be gone, or its disk be full."""
        try:
            return super().write(message)
        except OSError:
            return len(message)


def losing(descriptor: int) -> io.TextIOWrapper:
    """Standard error that never ends a command."""
    file = io.BufferedWriter(LosingFile(descriptor, "w", closefd=False))
    encoding = getattr(sys.stderr, "encoding", None)
    return io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True)


def refuse_deleted_folder() -> None:
    """Raises InputError if the working folder is not there any more: no path would be found."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(
            f"the working folder is not there any more ({error.strerror}): change to one that is"
        ) from None  # the reason is in the line
