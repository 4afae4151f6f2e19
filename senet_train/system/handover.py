"""Whether processes of this machine can hand data to each other, asked before they are needed."""

import shutil
import sys
import tempfile
from multiprocessing.connection import Listener
from pathlib import Path

from senet_train.errors import InputError

SHARED_MEMORY = Path("/dev/shm")
LONGEST_TMPDIR = 60  # characters; Linux allows 107 to the name of a socket, which is below it


def refuse_broken_sockets(way_out: str) -> None:
    """Raises InputError where no process can wait for another: `way_out` does without."""
    try:
        Listener().close()
    except OSError as error:
        folder = tempfile.gettempdir()
        raise InputError(
            f"processes cannot reach each other ({error}): set TMPDIR, now {folder}, to a folder "
            f"that can be written and has at most {LONGEST_TMPDIR} characters, or choose {way_out}"
        ) from error


def free_shared_memory() -> int:
    """The bytes that processes can still share; `sys.maxsize` where nothing limits them."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else sys.maxsize


def refuse_little_shared_memory(num_bytes: int, way_out: str) -> None:
    """Raises InputError where less is free: a process that takes more dies of a bus error."""
    free = free_shared_memory()
    if free < num_bytes:
        raise InputError(
            f"{SHARED_MEMORY} has {free / 1e6:,.0f} MB free and data workers need "
            f"{num_bytes / 1e6:,.0f} MB there: give the container more (docker run --shm-size=8g), "
            f"or choose {way_out}"
        )
