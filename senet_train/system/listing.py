"""List folders that are not ours: one entry after the other, and no more than memory has room for.

A folder of a network, or of a hostile file system, may have entries without end, and links can make
a tree endless.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from senet_train.errors import InputError

MOST_ENTRIES = 2_000_000  # of one folder; held to be sorted they take 0.5 GB


def entries_of(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, as the system gives them. Raises OSError.

    Raises InputError once there are more than two million: they would be held to be sorted.
    """
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number == MOST_ENTRIES:
                raise InputError(
                    f"{folder} has more than {MOST_ENTRIES:,} entries: divide them among folders"
                )
            yield entry


def names_in(folder: str | Path) -> list[str]:
    """The names in a folder, sorted. Raises OSError, InputError."""
    return sorted(entry.name for entry in entries_of(folder))


def folders_in(folder: str | Path) -> list[Path]:
    """The folders in a folder, links to folders among them, sorted. Raises OSError, InputError."""
    return sorted(Path(entry.path) for entry in entries_of(folder) if os.path.isdir(entry.path))
