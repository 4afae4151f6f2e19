"""Checkpoint files that are there: proven before they replace the last good one.

`last.ckpt` is the newest; `last.previous.ckpt` the one before it, should the newest be damaged.
"""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from senet_train.system.files import write_atomic

log = logging.getLogger("senet_train")


LAST, BEST = "last.ckpt", "best.ckpt"


def previous(path: Path) -> Path:
    """Where the checkpoint that `path` replaced is kept."""
    return path.with_suffix(f".previous{path.suffix}")


def checkpoint_bytes(num_parameters: int) -> int:
    """What the files of a run take at most: best, last, the one before it, and one being written.

    Float32 weights, their momentum, and perhaps their average in each.
    """
    return 4 * 3 * 4 * num_parameters


class ProvenCheckpointIO(CheckpointIO):
    """Writes beside the old file, reads the new one back, and only then renames it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Raises OSError (disk full, no permission) with the old file as it was."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Plain data alone, whatever was asked: no checkpoint may run code."""
        return read_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Replace `path`, keeping the file it replaces if that is `last.ckpt`. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    try:
        write_atomic(fresh, lambda file: torch.save(checkpoint, file))
        read_checkpoint(fresh, mmap=True)  # its structure; the numbers are still in memory anyway
    except RuntimeError as error:  # torch's word for a write that a full disk cut short
        fresh.unlink(missing_ok=True)
        raise OSError(f"{path} could not be written whole (is the disk full?): {error}") from error
    if path.name == LAST and path.exists():
        os.replace(path, previous(path))
    os.replace(fresh, path)


def read_checkpoint(path: Path, map_location: Any = "cpu", *, mmap: bool = False) -> dict[str, Any]:
    """What is in the file. Raises OSError or RuntimeError where it is not whole."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location, weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:  # torch has many words for it
        raise RuntimeError(f"{path} is damaged: {error}") from error
    return checkpoint


def newest_whole(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint to go on from that can be read; says so if that is not the last."""
    last = folder / LAST
    for path in (last, previous(last)):
        try:
            return path, read_checkpoint(path)
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:
            log.warning("warning: %s cannot be read, trying the one before it: %s", path, error)
    return None
