"""SIGINT and SIGTERM: raised where they arrive, and raised again where that was swallowed.

An exception inside `__del__` or a C callback is printed and dropped; Lightning turns SIGTERM into
an exit of its own. So the signal is also remembered, and `raise_pending` is asked at every step.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from senet_train.errors import Interrupted

_pending: list[int] = []


def pending() -> int | None:
    """The signal that is to end this command, if one has arrived."""
    return _pending[0] if _pending else None


def raise_pending() -> None:
    """Raise Interrupted if a signal has arrived and is still not obeyed."""
    if _pending:
        raise Interrupted(_pending[0])


@contextmanager
def signals_raised() -> Iterator[None]:
    """For the block, SIGINT and SIGTERM raise Interrupted in the main thread."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        _pending.append(signum)
        raise Interrupted(signum)

    _pending.clear()
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(signum, interrupt) for signum in watched]
    try:
        yield
    finally:
        for signum, handler in zip(watched, before, strict=True):
            signal.signal(signum, handler)
