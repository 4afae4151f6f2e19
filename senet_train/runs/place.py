"""Whether a run can be made at its place: refused in one line, before anything is written there."""

import shutil
import tempfile
from pathlib import Path

from senet_train.errors import InputError
from senet_train.runs.folder import RunFolder
from senet_train.system.file_names import longest_path
from senet_train.system.foreign_files import TREE, BadFile, read_json

BELOW = 110  # characters of the longest file in the folder of a run: TensorBoard names the host


def refuse_clash(file: Path, sha256: str) -> None:
    """Raises InputError if the folder belongs to another arm whose hash has the same 8 digits.

    So does an identity.json that cannot be read.
    """
    try:
        found = read_json(file, TREE)["sha256"]
    except FileNotFoundError:
        return
    except (KeyError, TypeError) as error:
        raise BadFile(file, "it has no sha256") from error
    if found != sha256:
        raise InputError(
            f"{file.parent} belongs to another configuration (hash {found}, "
            f"this one is {sha256}): choose another output_dir"
        )


def refuse_full_disk(folder: Path, num_bytes: int) -> None:
    """Raises InputError if less than `num_bytes` is free, so that no run fails in its last epoch.

    `folder` need not exist.
    """
    existing = nearest_existing(folder)
    disk = shutil.disk_usage(existing)
    if disk.total and disk.free < num_bytes:  # /proc and the like have no size at all
        raise InputError(
            f"{existing} has {disk.free / 1e6:.0f} MB free and the run's checkpoints may take "
            f"{num_bytes / 1e6:.0f} MB: free some, or choose another output_dir"
        )


def refuse_long_path(folder: RunFolder) -> None:
    """Raises InputError where a file of the run would have too long a path, as on Windows."""
    length, longest = len(str(folder.aside.absolute())) + BELOW, longest_path()
    if length > longest:
        raise InputError(
            f"files in {folder.path.absolute()} would have paths of {length} characters, and here "
            f"they may have {longest}: choose a shorter output_dir, or set LongPathsEnabled in the "
            "registry of Windows"
        )


def refuse_link(folder: RunFolder) -> None:
    """Raises InputError for a run folder that could not be set aside in one step.

    It is a link, or on another file system than `output_dir`.
    """
    path, beside = folder.path, nearest_existing(folder.aside)
    if path.is_symlink():
        what = f"is a link to {path.resolve()}"
    elif path.exists() and path.stat().st_dev != beside.stat().st_dev:
        what = f"is on another file system than {beside}"
    else:
        return
    raise InputError(f"{path} {what}, and no run is made there: choose another output_dir")


def refuse_unwritable(folder: Path) -> None:
    """Raises InputError if nothing can be written there, so that no table of runs begins.

    `folder` need not exist.
    """
    existing = nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"{existing} cannot be written ({error.strerror}): choose another output_dir"
        ) from None  # the reason is in the line


def nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
