"""Write files atomically: even after a power cut a file has its old content or its new one.

And the folder for what can be made again.
"""

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from senet_train.system.kernel_lock import lock_now
from senet_train.system.regular_file import own_file

TEMPORARY = ".*.tmp"  # the files that a process leaves if it is killed while it writes

ABANDONED_SECONDS = 3600
IN_USE = (5, 32)  # Windows' words: access denied, sharing violation
PAUSES = (0.01, 0.03, 0.1, 0.3, 0.6)  # seconds
Stamp = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode
# A file that has changed so shortly before may change again within one tick of its clock.
SETTLED_NS = 2_000_000_000


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file in the same folder, flush it to disk, rename it to `path`.

    Raises OSError (disk full, no permission) and leaves what was at `path` as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Not tempfile's: those are their owner's alone, and some file systems know no chmod.
        with open(temporary, "xb") as file:
            hold(file)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace(source: Path, target: Path) -> None:
    """Rename a file or folder to `target`; a file there is replaced. Raises OSError.

    Windows refuses it while anybody has one of them open, such as a scanner of viruses, or a
    command that reads the run: it is tried again for a moment.
    """
    for seconds in PAUSES:
        try:
            os.replace(source, target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
            time.sleep(seconds)
    os.replace(source, target)


def hold(file: IO[bytes]) -> None:
    """Lock a file that is being written, so that `remove_abandoned` leaves it."""
    with contextlib.suppress(OSError):  # no locks here: its age protects it
        lock_now(file)


def remove_abandoned(folder: Path, seconds: float = ABANDONED_SECONDS) -> None:
    """Delete temporary files that killed writers left in a folder where others may be writing.

    None that is younger than so many seconds, none that its writer holds, none that is no regular
    file.
    """
    for file in folder.glob(TEMPORARY):
        with contextlib.suppress(OSError):  # gone, held, or not ours to delete
            if time.time() - file.lstat().st_mtime < seconds:
                continue
            with open(file, "ab", opener=own_file) as opened:
                lock_now(opened)
            file.unlink()  # closed, as Windows wants it: nobody opens a file of this name again


def write_text(path: Path, text: str) -> None:
    """`write_atomic` for text, UTF-8."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` for plain data. Raises ValueError for NaN and infinity, which JSON has not."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def stamp_of(path: str | Path) -> Stamp:
    """What tells a file from a later one at its place. Raises OSError if it is gone."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def path_as_text(path: str) -> str:
    """A path as text that JSON can hold, a character a byte: a name need not be UTF-8."""
    return os.fsencode(path).decode("latin-1")


def path_from_text(text: str) -> str:
    """The path that `path_as_text` was given. Raises ValueError for other text."""
    return os.fsdecode(text.encode("latin-1"))


def cache_folder() -> Path:
    """The user's folder for what can be made again, made if it is missing.

    Raises OSError if there is none, or if others could put something there.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # a user that the system does not know
        raise OSError("there is no home folder") from error
    folder = Path(base) / "senet-train"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if sys.platform != "win32" and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise OSError(f"{folder} can be written by others")
    remove_abandoned(folder)
    return folder
