"""`--tensorboard DIR`: a folder for each arm, each with one event file, and nothing else."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from senet_train.errors import InputError
from senet_train.system.files import write_atomic

# With the content's hash: a TensorBoard that is open takes another name for new points. The second
# form is what a process that was killed while it wrote leaves.
OURS = re.compile(r"\.?events\.out\.tfevents\.[0-9a-f]{12}\.senet-compare(\.\w+\.tmp)?")


def refuse_foreign(folder: Path) -> None:
    """Raises InputError for a folder that holds what `write_arms` has not written."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or OURS.fullmatch(path.name)):
            raise InputError(
                f"--tensorboard {folder} holds something else, {path.relative_to(folder)}: "
                "choose an empty or a new folder"
            )


def write_arms(arms: Mapping[str, bytes], folder: Path) -> None:
    """Write every arm's event file below `folder`, made if it is missing; remove older ones.

    Raises OSError (disk full, no permission).
    """
    files = {folder / arm / file_name(content): content for arm, content in arms.items()}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    for path in set(written_in(folder)) - files.keys():
        path.unlink()
        remove_empty(path.parent, folder)


def write_bytes(path: Path, content: bytes) -> None:
    """`write_atomic` for bytes."""
    write_atomic(path, lambda file: file.write(content))


def file_name(content: bytes) -> str:
    """A name that TensorBoard takes for an event file's."""
    return f"events.out.tfevents.{hashlib.sha256(content).hexdigest()[:12]}.senet-compare"


def written_in(folder: Path) -> Iterator[Path]:
    """The files of ours."""
    return (path for path in folder.rglob("*") if OURS.fullmatch(path.name))


def remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder that nothing is left in, and its parents likewise up to `top`."""
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
