"""Open a regular file and nothing else: no link is followed, and no pipe is waited for."""

import errno
import os
import stat
import sys
from pathlib import Path

if sys.platform == "win32":
    # Without O_BINARY line ends would be changed, and Ctrl-Z would end the file.
    SAFELY = os.O_NOINHERIT | os.O_BINARY
else:
    # Of O_NONBLOCK: to open a pipe that nobody writes to would wait for ever.
    SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_regular(path: str | Path, flags: int) -> int:
    """The descriptor of the opened file. Raises OSError, as for what is no regular file."""
    if sys.platform == "win32":
        refuse_on_windows(path)
    descriptor = os.open(path, flags | SAFELY, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def refuse_on_windows(path: str | Path) -> None:
    """Raises OSError for a link, which Windows would follow, and for a folder, in Linux's words.

    Who replaces the file by a link after this look is not noticed: Windows opens no file without
    following links by Python's means. To make a link there is a right of administrators.
    """
    if os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def own_file(path: str, flags: int) -> int:
    """Open a file of ours to write to it, as `opener=`. Raises OSError for no regular file."""
    return open_regular(path, flags)
