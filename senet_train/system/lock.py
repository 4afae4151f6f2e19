"""A lock on a path, in whose file stands which process holds it."""

import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from senet_train.errors import HeldError, InputError
from senet_train.system.kernel_lock import NO_LOCKS, lock_now, lock_when_free, unlock
from senet_train.system.regular_file import own_file

HOLDER, LONGEST_HOLDER = "process", 300  # how the line in a lock begins; characters

log = logging.getLogger("senet_train")


@contextmanager
def file_lock(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock at `path` for the block; `what` names for the user what is locked.

    Where the file system has no locks, a warning says so and the block runs without. Raises
    HeldError, which names the process that holds it, unless `wait`; and InputError if the folder
    cannot be written.
    """
    with open_lock(path) as file:
        holder = holder_in(file, path)
        try:
            lock_now(file)
        except BlockingIOError as error:
            held = f"{what} is held by {holder or 'another process'}"
            if not wait:
                raise HeldError(f"{held}: wait for it, or stop it") from error
            log.info("%s: waiting for it", held)
            lock_when_free(file)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.warning(
                "warning: the file system of %s has no locks (%s): see to it yourself that no two "
                "processes work on %s at once",
                *(path.parent, error.strerror, what),
            )
        file.truncate(0)
        file.write(f"{HOLDER} {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # there are no locks
                unlock(file)


def open_lock(path: Path) -> IO[str]:
    """The opened lock file, made with its folder if they do not exist. Raises InputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a+", encoding="utf-8", errors="replace", opener=own_file)
    except OSError as error:
        if os.path.lexists(path) and not path.is_dir() and not is_regular(path):
            raise InputError(f"{path} is no lock, but a link or a device: remove it") from error
        raise InputError(
            f"{path.parent} cannot be written ({error.strerror}): choose another folder"
        ) from error


def is_regular(path: Path) -> bool:
    """Whether it is a file, and no link to one."""
    return stat.S_ISREG(path.lstat().st_mode)


def holder_in(file: IO[str], path: Path) -> str:
    """Who holds the lock, or held it last, as the file says.

    Raises InputError for a file that no lock has written: by a hard link it may be another's.
    """
    file.seek(0)
    holder = file.read(LONGEST_HOLDER).strip("\0\n ")  # zeros, after a power cut
    if not (holder.startswith(HOLDER) or HOLDER.startswith(holder)):
        raise InputError(f"{path} is no lock: it holds something else, move it away")
    return holder
