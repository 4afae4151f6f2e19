"""How a run ends: torch's errors explained, the status that an error leaves, the log file."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from senet_train.config.schema import Data
from senet_train.data.file_reader import workers_explained
from senet_train.data.workers import num_workers
from senet_train.errors import Diverged, Interrupted, OutOfMemory, PeerLost, Pruned
from senet_train.networks.kernels.compiled import compiling_explained
from senet_train.runs.checkpoint_files import how_far, newest_readable
from senet_train.runs.folder import RunFolder
from senet_train.runs.status import State, read_status
from senet_train.system.console import PrintableLines
from senet_train.system.memory import explain_out_of_memory
from senet_train.system.regular_file import own_file
from senet_train.system.signals import pending_signal
from senet_train.training.distributed.collectives import explain_lost_peers

log = logging.getLogger("senet_train")

ENDED = {"pruned": "been pruned"}  # has ...: the other states are words that follow it


@contextmanager
def explain_errors(data: Data) -> Iterator[None]:
    """For the block, replace errors that torch raises as text by errors that name the way out.

    Raises OutOfMemory, PeerLost, or RunError for a data worker that has died and for a network that
    cannot be compiled.
    """
    with (
        compiling_explained(),
        explain_out_of_memory(data.batch_size),
        explain_lost_peers(),
        workers_explained(num_workers(data)),
    ):
        yield


def write_end_status(folder: RunFolder, error: BaseException) -> None:
    """Write the status that `error` leaves. On a full disk this may fail as the run itself did."""
    try:
        folder.set_state(end_state(error), end_reason(error))
    except OSError as second:
        log.warning("warning: %s keeps its old status: %s", folder.path, second)


def add_way_on(folder: RunFolder, error: Interrupted) -> None:
    """Tell a signal, which ends the command, how the run is gone on with and from where."""
    status = read_status(folder.path)
    if status and status.state not in ("running", "interrupted"):  # the signal came after its end
        reason = f" ({status.reason})" if status.reason else ""
        error.way_on = f"{folder.path} has {ENDED.get(status.state, status.state)}{reason}"
        return
    found = newest_readable(folder.checkpoints)
    done = how_far(found[1]) if found else "from the start, as nothing is saved yet"
    error.way_on = f"the same line again goes on with {folder.path} {done}"


def end_state(error: BaseException) -> State:
    """`pruned`, `interrupted`, `diverged` or `failed`."""
    if isinstance(error, Pruned):
        return "pruned"
    if isinstance(error, Interrupted | PeerLost) or pending_signal():
        return "interrupted"
    return "diverged" if isinstance(error, Diverged) else "failed"


def end_reason(error: BaseException) -> str:
    """Why, for status.json: scripts search for the word `oom`."""
    if isinstance(error, Pruned):
        return str(error)
    name = "oom" if isinstance(error, OutOfMemory) else type(error).__name__
    return f"{name}: {error}"


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """For the block, write our log to a file too, with the traceback of an error that ends it.

    Where a line cannot be written it is lost: what filled the disk is said by what needs the room.
    """
    handler = LosingLog(path, encoding="utf-8")
    handler.setFormatter(PrintableLines("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    except BaseException:
        log.debug("stopped by", exc_info=True)
        raise
    finally:
        log.removeHandler(handler)
        with suppress(OSError):
            handler.close()


class LosingLog(logging.FileHandler):
    """A log file whose errors are not printed: they would be a traceback for every line."""

    def _open(self) -> TextIOWrapper:
        """As a file of ours: no link is followed."""
        name = self.baseFilename
        return open(name, "a", encoding=self.encoding, errors="backslashreplace", opener=own_file)

    def handleError(self, record: logging.LogRecord) -> None:
        """Called for a line that could not be written."""


@contextmanager
def errors_of_threads_in_the_log() -> Iterator[None]:
    """For the block, an OSError of another thread is a part of run.log, and no traceback.

    TensorBoard's files are written by a thread of theirs. Its error is raised here as well.
    """
    before = threading.excepthook
    threading.excepthook = log_error_of_thread
    try:
        yield
    finally:
        threading.excepthook = before


def log_error_of_thread(found: threading.ExceptHookArgs) -> None:
    """As Python prints it, but for an OSError."""
    if isinstance(found.exc_value, OSError):
        log.debug("a thread was stopped by", exc_info=found.exc_value)
    else:
        threading.__excepthook__(found)
