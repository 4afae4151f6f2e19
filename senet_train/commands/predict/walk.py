"""The command's arguments -> image files, as they are found. No torch."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from senet_train.data.class_folders import is_image_name
from senet_train.errors import InputError
from senet_train.system.console import printable

Skip = Callable[[str, str], None]  # a path that is not used, and why
Inode = tuple[int, int]


@dataclass
class SkippedFiles:
    """Called with each path that is left out and the reason: prints both and counts."""

    count: int = 0

    def __call__(self, path: str, reason: str) -> None:
        """Print one path and its reason to standard error."""
        self.count += 1
        print(f"{printable(path)}: {printable(reason)}", file=sys.stderr)


def refuse_missing(paths: Sequence[Path]) -> None:
    """Raises InputError naming every path that is not there."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise InputError(
            f"{', '.join(missing)} is not there: name image files, or folders that hold some"
        )


def image_files(paths: Sequence[Path], skip: Skip) -> Iterator[str]:
    """Yield the files among `paths`, whatever their names, and the images below the folders."""
    for path in paths:
        if path.is_dir():
            yield from images_below(str(path), skip, frozenset())
        elif path.is_file():
            yield str(path)
        else:  # reading a pipe would wait for its writer
            skip(str(path), "is no regular file")


def images_below(folder: str, skip: Skip, above: frozenset[Inode]) -> Iterator[str]:
    """Yield the images below a folder, sorted by name; hidden files and folders are left out.

    Links are followed, except to a folder that holds them (`above`). Only the names of one folder
    are held at a time, so memory does not grow with the number of images.
    """
    try:
        status = os.stat(folder)
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        skip(folder, error.strerror or str(error))
        return
    inside = above | {(status.st_dev, status.st_ino)}
    for entry in found:
        if entry.name.startswith("."):
            continue
        if os.path.isdir(entry.path):
            below = os.stat(entry.path)
            if (below.st_dev, below.st_ino) not in inside:
                yield from images_below(entry.path, skip, inside)
        elif is_image_name(entry.name):
            if os.path.isfile(entry.path):
                yield entry.path
            else:
                skip(entry.path, "is a link to nowhere, or no regular file")
