"""SIGINT and SIGTERM: raised where they arrive, but between two steps while a network trains.

An exception inside `__del__` or a C callback is printed and dropped; Lightning turns SIGTERM into
an exit of its own; one in the middle of a step leaves weights that no checkpoint should hold. So
the signal is remembered, and `pending` is asked before every step.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from senet_train.errors import Interrupted

WATCHED = (signal.SIGINT, signal.SIGTERM)
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


_pending: list[int] = []
_deferring = False


class Stopped(Interrupted):
    """The signal, raised between two steps: what is in memory may be saved."""


def in_words(signum: int) -> str:
    """`killed by SIGKILL`; after a crash, which is never the user's doing, also what to try."""
    try:
        name = signal.Signals(signum).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {signum}"
    way_out = ": try trainer.channels_last=false" if signum in CRASHES else ""
    return f"killed by {name}{way_out}"


def pending() -> int | None:
    """The signal that is to end this command, if one has arrived."""
    return _pending[0] if _pending else None


def raise_pending() -> None:
    """Raise Stopped if a signal has arrived and is still not obeyed."""
    if _pending:
        raise Stopped(_pending[0])


@contextmanager
def between_steps() -> Iterator[None]:
    """For the block, which asks `pending`, a first signal waits to be asked for.

    At the latest to the block's end; a second SIGINT is raised where it arrives.
    """
    global _deferring
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
    raise_pending()


def interrupt(signum: int, frame: FrameType | None) -> None:
    """The handler: remember the signal; raise Interrupted, unless that has to wait.

    A second Ctrl-C is impatience. A second SIGTERM is not: SLURM sends two in the same second.
    """
    _pending.append(signum)
    if not _deferring or (signum == signal.SIGINT and len(_pending) > 1):
        raise Interrupted(signum)


def listen() -> None:
    """Have SIGINT and SIGTERM come to us; Lightning puts a handler of its own round ours."""
    for signum in WATCHED:
        signal.signal(signum, interrupt)


@contextmanager
def signals_raised() -> Iterator[None]:
    """For the block, SIGINT and SIGTERM raise Interrupted in the main thread."""
    _pending.clear()
    before = [signal.getsignal(signum) for signum in WATCHED]
    listen()
    try:
        yield
    finally:
        for signum, handler in zip(WATCHED, before, strict=True):
            signal.signal(signum, handler)
