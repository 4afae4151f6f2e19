"""Write files atomically: even after a power cut a file has its old content or its new one."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".*.tmp"  # the files that a process leaves if it is killed while it writes


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file in the same folder, flush it to disk, rename it to `path`.

    Raises OSError (disk full, no permission) and leaves what was at `path` as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """`write_atomic` for text, UTF-8."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` for plain data. Raises ValueError for NaN and infinity, which JSON has not."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
