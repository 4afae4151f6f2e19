"""The errors that end a run; each has the exit code that the command returns."""

import errno
import signal
from collections.abc import Sequence

MOST_NAMED = 10  # in one line
NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EINVAL)  # of a link that is not followed, a pipe


class RunError(Exception):
    """A run failed. The message is one line for the user."""

    exit_code = 1


class Diverged(RunError):
    """The loss is not finite; the optimizer did not step on it."""


class OutOfMemory(RunError):
    """The device or the machine has no memory left. Batch size and settings are never reduced."""


class Pruned(Exception):
    """A search has stopped this run: it is saved, and did not fail."""

    def __init__(self, reason: str, val_score: float) -> None:
        super().__init__(reason)
        self.val_score = val_score  # of its best epoch so far


class InputError(RunError, ValueError):
    """Invalid input. The message has the rule, the value and the way out."""

    exit_code = 2


class CannotExist(InputError):
    """This attention cannot be inserted into this network: a table skips such an arm."""


class HeldError(RunError):
    """Another live process holds the run folder."""

    exit_code = 4


class PeerLost(RunError):
    """One of the processes of a distributed run is gone; the run can be resumed."""


class Interrupted(BaseException):
    """A signal that ends a command has come. No `except Exception` catches it.

    `way_on` says in words how to go on and from where, "" where nothing was begun.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum
        self.way_on = ""


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 run`, `2 runs`; `things` where the plural has not an s alone."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def listed(names: Sequence[str]) -> str:
    """The names in a line, or the first ten and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def in_the_way(error: OSError) -> str:
    """The line on what is no file, or none that may be used, where a file of ours belongs.

    "" for any other error.
    """
    place = error.filename2 or error.filename
    if isinstance(error, IsADirectoryError):
        return f"{place} is a folder where a file belongs: move it away"
    if error.errno in NO_FILE and place:
        return f"{place} is a link or a device where a file belongs: remove it"
    if isinstance(error, PermissionError | FileNotFoundError) and place:
        return f"{place} cannot be used ({error.strerror}): mend that and type the line again"
    return ""
