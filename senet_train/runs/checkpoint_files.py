"""Checkpoint files, each verified before it replaces the one before.

`last.ckpt` is the newest, and `last.previous.ckpt` the one before it, in case that one is damaged.
"""

import errno
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from senet_train.config.schema import Natural
from senet_train.errors import RunError, counted
from senet_train.runs.folder import LAST
from senet_train.system.files import replace, write_atomic
from senet_train.system.foreign_files import refuse_special

log = logging.getLogger("senet_train")


MMAP = sys.platform != "win32"  # where a mapped file could not be renamed
MOST_THREADS = 1024  # of one process; more than that is damage


class DamagedCheckpoint(RunError, RuntimeError):
    """A checkpoint that cannot be read."""

    def __init__(self, path: Path, error: Exception) -> None:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        super().__init__(
            f"{path} is damaged: {reason}; overwrite=true starts the run from zero without it"
        )


def previous(path: Path) -> Path:
    """Where the checkpoint is kept that `path` has replaced."""
    return path.with_suffix(f".previous{path.suffix}")


def checkpoint_bytes(num_parameters: int) -> int:
    """The most that the files of a run take: best, last, the one before, and one being written.

    Each has float32 weights, the two means that AdamW keeps of each (SGD has its momentum alone),
    and possibly their average.
    """
    return 4 * 4 * 4 * num_parameters


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Replace `path`. A `last.ckpt` that it replaces is kept as previous. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    try:
        write_atomic(fresh, lambda file: torch.save(checkpoint, file))
        read_back(fresh)
    except RuntimeError as error:  # what torch raises if the disk is full
        fresh.unlink(missing_ok=True)
        raise OSError(f"{path} could not be written whole (is the disk full?): {error}") from error
    if path.name == LAST and path.exists():
        replace(path, previous(path))
    replace(fresh, path)


def read_back(path: Path) -> None:
    """Read the structure of what was just written: its numbers are still in memory anyway.

    Raises OSError or DamagedCheckpoint.
    """
    read_checkpoint(path, mmap=MMAP)


def read_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """The content of the file, on the CPU. Raises OSError or DamagedCheckpoint."""
    try:
        refuse_special(path)
        checkpoint: dict[str, Any] = torch.load(path, "cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        if error.errno != errno.EINVAL:  # which torch gets where it seeks before the beginning
            raise
        raise DamagedCheckpoint(path, error) from error
    except Exception as error:  # torch raises many types
        raise DamagedCheckpoint(path, error) from error
    return checkpoint


PLAIN = ConfigDict(strict=True, arbitrary_types_allowed=True)


class SavedProgress(TypedDict):
    """Where a training was when it was saved; `history` has a row for each epoch that is done."""

    __pydantic_config__ = PLAIN  # type: ignore[misc]
    epoch: Natural
    batch: Natural
    lr: float
    train: torch.Tensor
    history: list[dict[str, float]]
    best: tuple[float, float] | list[float]


class SavedTraining(TypedDict):
    """What a training needs to go on from a checkpoint; Lightning's own parts are in it as well."""

    __pydantic_config__ = PLAIN  # type: ignore[misc]
    progress: SavedProgress
    made_by: dict[str, str]
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)]
    global_step: Natural
    state_dict: dict[str, torch.Tensor]
    optimizer_states: list[Any]
    lr_schedulers: list[Any]
    loops: dict[str, Any]
    callbacks: dict[str, Any]


TRAINING = TypeAdapter(SavedTraining)


def refuse_content(checkpoint: Any, path: Path) -> None:
    """Raises RuntimeError for a checkpoint that is whole, and no training of ours."""
    try:
        saved = TRAINING.validate_python(checkpoint)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise RuntimeError(f"{path} holds no training ({where}: {first['msg']})") from None
    if len(saved["progress"]["history"]) != saved["progress"]["epoch"]:
        raise RuntimeError(f"{path} holds no training (its epochs and its history differ)")


def how_far(checkpoint: dict[str, Any]) -> str:
    """`after 2 epochs and 1 batch`: where the training was that it holds."""
    done = checkpoint["progress"]
    return (
        f"after {counted(done['epoch'], 'epoch')} and {counted(done['batch'], 'batch', 'batches')}"
    )


def newest_readable(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, with a warning if it is not the last; or None."""
    last = folder / LAST
    for path in (last, previous(last)):
        try:
            checkpoint = read_checkpoint(path)
            refuse_content(checkpoint, path)
            return path, checkpoint
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:
            log.warning("warning: %s cannot be read, trying the one before it: %s", path, error)
    return None
