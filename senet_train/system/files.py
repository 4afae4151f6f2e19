"""Write files atomically: even after a power cut a file has its old content or its new one.

And the folder for what can be made again.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".*.tmp"  # the files that a process leaves if it is killed while it writes

ABANDONED_SECONDS = 3600
Stamp = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode
# A file that has changed so shortly before may change again within one tick of its clock.
SETTLED_NS = 2_000_000_000


def own_file(path: str, flags: int) -> int:
    """Open a file of ours to write to it, as `opener=`: no link is followed, no pipe waited for.

    Raises OSError for what is no regular file.
    """
    safe = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, safe, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return descriptor


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
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def hold(file: IO[bytes]) -> None:
    """Lock a file that is being written, so that `remove_abandoned` leaves it."""
    with contextlib.suppress(OSError):  # no locks here: its age protects it
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
                fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink()


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
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise OSError(f"{folder} can be written by others")
    remove_abandoned(folder)
    return folder
