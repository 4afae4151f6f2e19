"""SIGINT and SIGTERM: raised where they arrive, but between two steps while a network trains.

An exception inside `__del__` or a C callback is printed and dropped; Lightning turns SIGTERM into
an exit of its own; and an exception in the middle of a step leaves weights that no checkpoint
should hold. So the handler only remembers the signal, and `pending_signal` is asked before every
step.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from senet_train.errors import Interrupted

HANDLED = (signal.SIGINT, signal.SIGTERM)
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


_pending: list[int] = []
_deferring = False


class Stopped(Interrupted):
    """The signal, raised between two steps: what is in memory may be saved."""


def describe_kill(signum: int) -> str:
    """`killed by SIGKILL`, and what to try after a crash, which is never what the user asked."""
    try:
        name = signal.Signals(signum).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {signum}"
    way_out = ": try trainer.channels_last=false" if signum in CRASHES else ""
    return f"killed by {name}{way_out}"


def pending_signal() -> int | None:
    """The signal that is to end this command; None if none has arrived."""
    return _pending[0] if _pending else None


def raise_if_signalled() -> None:
    """Raise Stopped if a signal has arrived."""
    if _pending:
        raise Stopped(_pending[0])


@contextmanager
def defer_signals() -> Iterator[None]:
    """For the block, do not raise a signal where it arrives: the block asks `pending_signal`.

    It is raised at the block's end at the latest. A second SIGINT is raised where it arrives.
    """
    global _deferring
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
    raise_if_signalled()


def handle(signum: int, frame: FrameType | None) -> None:
    """The handler: remember the signal, and raise Interrupted unless it is deferred.

    A second SIGINT is a user who does not want to wait. A second SIGTERM is not: SLURM sends two
    in the same second.
    """
    _pending.append(signum)
    if not _deferring or (signum == signal.SIGINT and len(_pending) > 1):
        raise Interrupted(signum)


def install_handlers() -> None:
    """Handle SIGINT and SIGTERM here. Lightning replaces the handlers by its own: call it after."""
    for signum in HANDLED:
        signal.signal(signum, handle)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """For the block, SIGINT and SIGTERM raise Interrupted in the main thread."""
    _pending.clear()
    before = [signal.getsignal(signum) for signum in HANDLED]
    install_handlers()
    try:
        yield
    finally:
        for signum, handler in zip(HANDLED, before, strict=True):
            signal.signal(signum, handler)
