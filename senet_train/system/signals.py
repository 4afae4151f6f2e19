"""Signals that end a command: raised where they arrive, but between two steps while training.

An exception inside `__del__` or a C callback is printed and dropped; Lightning turns SIGTERM into
an exit of its own; and an exception in the middle of a step leaves weights that no checkpoint
should hold. So the handler only remembers the signal, and `pending_signal` is asked before every
step. While an end is written, nothing is raised at all: batch systems send several signals within
milliseconds, and the second would leave a status that says that the run still runs.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from senet_train.errors import Interrupted

ALWAYS_HANDLED: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
CRASHES: tuple[signal.Signals, ...]
# Without a handler each of them would end the process at once.
if sys.platform == "win32":
    # Ctrl-Break, and a console that is closed.
    HANDLED = ALWAYS_HANDLED = (*ALWAYS_HANDLED, signal.SIGBREAK)
    CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
else:
    # A terminal that is gone sends SIGHUP; SLURM, Grid Engine and LSF send SIGUSR1 or SIGUSR2
    # before a limit; `ulimit -t` SIGXCPU.
    HANDLED = (*ALWAYS_HANDLED, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
    CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
WINDOWS_ERRORS = 0xC0000000  # from here on an exit code is what Windows ended the process for
WAY_OUT_OF_A_CRASH = ": try trainer.channels_last=false"
STOP_SECONDS = 120.0  # for a process that was asked to stop: a step, and writing a checkpoint


_pending: list[int] = []
_deferring = False
_held = False


class Stopped(Interrupted):
    """The signal, raised between two steps: what is in memory may be saved."""


def describe_end(code: int) -> str:
    """`exit code 1`, or of a negative one `killed by SIGKILL`, in multiprocessing's words.

    And what to try after a crash, which is never what the user asked.
    """
    if code >= WINDOWS_ERRORS:
        return f"ended by Windows (0x{code:X}){WAY_OUT_OF_A_CRASH}"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-code}"
    return f"killed by {name}{WAY_OUT_OF_A_CRASH if -code in CRASHES else ''}"


@contextmanager
def ignoring_ctrl_c() -> Iterator[None]:
    """On Windows, for the block: Ctrl-C is lost here, and for good in processes that it starts."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        kernel.SetConsoleCtrlHandler(None, True)
        try:
            yield
        finally:
            kernel.SetConsoleCtrlHandler(None, False)
    else:
        raise NotImplementedError("elsewhere signals are blocked")


def stop_this_process() -> None:
    """Have this process stop as by SIGTERM, from any of its threads."""
    if sys.platform == "win32":  # os.kill would end it at once there
        signal.raise_signal(signal.SIGTERM)
    else:  # to the process: a system call of its main thread is interrupted
        os.kill(os.getpid(), signal.SIGTERM)


def pending_signal() -> int | None:
    """The signal that is to end this command; None if none has arrived."""
    return _pending[0] if _pending else None


def has_arrived(signum: int) -> bool:
    """Whether this signal is among those that have arrived during this command."""
    return signum in _pending


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


@contextmanager
def hold_signals() -> Iterator[None]:
    """For the block, raise no signal at all, not even a second SIGINT: it must not be cut short.

    What has arrived is raised at the block's end, unless the block is part of such an end itself.
    """
    global _held
    before, arrived = _held, len(_pending)
    _held = True
    try:
        yield
    finally:
        _held = before
        if len(_pending) > arrived and not (_held or _deferring or is_ending()):
            raise Interrupted(_pending[arrived])


@contextmanager
def let_signals_in() -> Iterator[None]:
    """For a block inside one of `hold_signals`, raise signals where they arrive again."""
    global _held
    _held = False
    try:
        raise_if_signalled()
        yield
    finally:
        _held = True


def is_ending() -> bool:
    """Whether the code that runs at this moment is part of an end by a signal."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None


def handle(signum: int, frame: FrameType | None) -> None:
    """The handler: remember the signal, and raise Interrupted unless it is deferred or held.

    A second SIGINT is a user who does not want to wait. A second SIGTERM is not: SLURM sends two
    in the same second, and the end that the first has begun is not to be cut short.
    """
    _pending.append(signum)
    impatient = signum == signal.SIGINT and len(_pending) > 1
    if not _held and (impatient or not (_deferring or is_ending())):
        raise Interrupted(signum)


def install_handlers() -> None:
    """Handle HANDLED here. Lightning replaces the handlers by its own: call it after.

    What is ignored stays ignored, as SIGHUP under nohup, but for SIGINT and SIGTERM: a shell starts
    what it puts in the background with SIGINT ignored.
    """
    for signum in HANDLED:
        if signum in ALWAYS_HANDLED or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, handle)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """For the block, HANDLED raise Interrupted in the main thread."""
    _pending.clear()
    before = [signal.getsignal(signum) for signum in HANDLED]
    install_handlers()
    try:
        yield
    finally:
        for signum, handler in zip(HANDLED, before, strict=True):
            signal.signal(signum, handler)
