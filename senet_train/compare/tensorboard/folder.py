"""The folder of `--tensorboard DIR`: one event file in a folder for each arm, and nothing else."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from senet_train.errors import InputError
from senet_train.system.files import write_atomic

# The name has the content's hash: an open TensorBoard reads new points only from a file with a new
# name. The second form is left by a process that was killed while it wrote.
EVENT_FILE = re.compile(r"\.?events\.out\.tfevents\.[0-9a-f]{12}\.senet-compare(\.\w+\.tmp)?")


def refuse_foreign(folder: Path) -> None:
    """Raises InputError for a folder that holds files which `write_arms` did not write."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or EVENT_FILE.fullmatch(path.name)):
            raise InputError(
                f"--tensorboard {folder} holds something else, {path.relative_to(folder)}: "
                "choose an empty or a new folder"
            )


def write_arms(arms: Mapping[str, bytes], folder: Path) -> None:
    """Write every arm's event file below `folder`, made if it is missing; remove older ones.

    Raises OSError (disk full, no permission).
    """
    files = {folder / arm / event_file_name(content): content for arm, content in arms.items()}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    for path in set(event_files_in(folder)) - files.keys():
        path.unlink()
        remove_empty(path.parent, folder)


def write_bytes(path: Path, content: bytes) -> None:
    """`write_atomic` for bytes."""
    write_atomic(path, lambda file: file.write(content))


def event_file_name(content: bytes) -> str:
    """A name by which TensorBoard knows an event file."""
    return f"events.out.tfevents.{hashlib.sha256(content).hexdigest()[:12]}.senet-compare"


def event_files_in(folder: Path) -> Iterator[Path]:
    """The event files below `folder` that `write_arms` wrote."""
    return (path for path in folder.rglob("*") if EVENT_FILE.fullmatch(path.name))


def remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder if it is empty, and then its parents likewise, up to `top`."""
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
