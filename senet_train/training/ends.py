"""How a run ends: its errors in words, its status, its log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from senet_train.config.schema import Data
from senet_train.data.images import workers_explained
from senet_train.errors import Diverged, HeldError, InputError, Interrupted, OutOfMemory, PeerLost
from senet_train.runs.folder import RunFolder
from senet_train.system.memory import shortage_explained
from senet_train.system.signals import pending
from senet_train.training.distributed.collectives import lost_peers_explained

log = logging.getLogger("senet_train")

# What a run of several processes ended with, by its exit code.
ENDS = {InputError.exit_code: InputError, HeldError.exit_code: HeldError}


@contextmanager
def troubles_explained(data: Data) -> Iterator[None]:
    """Raise errors of ours, with the way out, for those that torch has only words for."""
    with (
        shortage_explained(data.batch_size),
        lost_peers_explained(),
        workers_explained(data.workers),
    ):
        yield


def note_end(folder: RunFolder, error: BaseException) -> None:
    """Say in the status how the run ended; on a full disk that may fail as the run itself did."""
    try:
        folder.set_state(end_state(error), reason_of(error))
    except OSError as second:
        log.warning("warning: %s keeps its old status: %s", folder.path, second)


def end_state(error: BaseException) -> str:
    """The status that an error leaves."""
    if isinstance(error, Interrupted | PeerLost) or pending():
        return "interrupted"
    return "diverged" if isinstance(error, Diverged) else "failed"


def reason_of(error: BaseException) -> str:
    """Why, for status.json: `oom` is a word that scripts look for."""
    name = "oom" if isinstance(error, OutOfMemory) else type(error).__name__
    return f"{name}: {error}"


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Copy our log to a file for the block, an error's traceback with it."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    except BaseException:
        log.debug("stopped by", exc_info=True)
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
