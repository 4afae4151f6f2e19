"""An exclusive lock on an opened file, which the system releases when its process ends.

It is `lockf`, not `flock`: a forked data worker inherits a `flock`, and holds it for seconds after
the trainer was killed. A process must not open a file that it holds a second time: closing any
handle of the file releases the lock. On Windows it is `LockFile`, by msvcrt: of one byte far behind
all content, as nobody else can read what is locked there.

The package filelock keeps none of this: its lock of an opened file is `flock`, its lock of a path
opens the file by itself and waits by asking 20 times a second, and on Windows both lock the first
byte, so that no one can read who holds it.
"""

import errno
import os
import sys
import time
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    # How Windows says that a file system has no locks: as an invalid argument.
    NO_LOCKS: tuple[int, ...] = (errno.EINVAL, errno.ENOSYS)
    PLACE = 2**30  # of the locked byte; msvcrt counts to 2**31
    PAUSE_SECONDS = 0.1

    def lock_now(file: IO[Any]) -> None:
        """Hold the lock. Raises BlockingIOError if another does, OSError if there are no locks."""
        descriptor = file.fileno()
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)

    def lock_when_free(file: IO[Any]) -> None:
        """Wait for the lock, and hold it. Windows' own wait cannot be interrupted by Ctrl-C."""
        while True:
            try:
                return lock_now(file)
            except BlockingIOError:
                time.sleep(PAUSE_SECONDS)

    def unlock(file: IO[Any]) -> None:
        """Release it: after the file was closed, Windows would take its time for that."""
        os.lseek(file.fileno(), PLACE, os.SEEK_SET)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # Lustre, NFS and some FUSE without

    def lock_now(file: IO[Any]) -> None:
        """Hold the lock. Raises BlockingIOError if another does, OSError if there are no locks."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PermissionError as error:  # so say some systems that another holds it
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def lock_when_free(file: IO[Any]) -> None:
        """Wait for the lock, and hold it."""
        fcntl.lockf(file, fcntl.LOCK_EX)

    def unlock(file: IO[Any]) -> None:
        """Release it."""
        fcntl.lockf(file, fcntl.LOCK_UN)
