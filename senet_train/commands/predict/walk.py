"""The command's arguments -> image files, as they are found. No torch."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from senet_train.data.file_names import is_image_name
from senet_train.errors import InputError
from senet_train.system.console import say
from senet_train.system.listing import names_in

Skip = Callable[[str, str], None]  # a path that is not used, and why
Inode = tuple[int, int]
# Folders that link to each other have ways without end; a data set that is sorted twice has two.
MOST_TIMES = 8


@dataclass
class SkippedFiles:
    """Called with each path that is left out and the reason: prints both and counts."""

    count: int = 0

    def __call__(self, path: str, reason: str) -> None:
        """Print one path and its reason to standard error."""
        self.count += 1
        say(f"{path}: {reason}", to_error=True)


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
            yield from images_below(str(path), skip)
        elif path.is_file():
            yield str(path)
        else:  # reading a pipe would wait for its writer
            skip(str(path), "is no regular file")


def images_below(top: str, skip: Skip) -> Iterator[str]:
    """Yield the images below a folder, sorted by name; hidden files and folders are left out.

    Links are followed, except to a folder that holds them. Only the names of the folders on the way
    are held, so memory does not grow with the number of images, and a tree may be as deep as paths
    can be long.
    """
    listed: Counter[Inode] = Counter()
    way = [(inode_of(top), children_of(top, skip))]
    while way:
        path = next(way[-1][1], None)
        if path is None:
            way.pop()
        elif os.path.isdir(path):
            inode = inode_of(path)
            if inode in [above for above, _ in way]:
                continue
            listed[inode] += 1
            if listed[inode] <= MOST_TIMES:
                way.append((inode, children_of(path, skip)))
            else:
                skip(path, f"links lead to this folder by more than {MOST_TIMES} ways")
        elif is_image_name(os.path.basename(path)):
            if os.path.isfile(path):
                yield path
            else:
                skip(path, "is a link to nowhere, or no regular file")


def inode_of(folder: str) -> Inode:
    """What tells a folder from others, by whatever path it is reached."""
    try:
        status = os.stat(folder)
    except OSError:  # gone since: listing it says so
        return 0, 0
    return status.st_dev, status.st_ino


def children_of(folder: str, skip: Skip) -> Iterator[str]:
    """The paths in a folder, sorted, without hidden ones; none where it cannot be listed."""
    try:
        names = names_in(folder)
    except (OSError, InputError) as error:
        skip(folder, getattr(error, "strerror", None) or str(error))
        return
    yield from (os.path.join(folder, name) for name in names if not name.startswith("."))
