"""What the files of a data set hold: the hash of each, and how it will be decoded. No torch.

A file is read once. Afterwards it is known by its size, its times of modification and of change,
and its inode: an edit in place changes the time of change even where a tool restores the other.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from PIL import Image
from PIL import __version__ as pillow_version
from pydantic import TypeAdapter, ValidationError

from senet_train.data.image_files import (
    FULL_DEPTH,
    Unreadable,
    deep_values,
    is_deep,
    opened,
    orientation,
)
from senet_train.errors import InputError
from senet_train.system.files import (
    SETTLED_NS,
    Stamp,
    cache_folder,
    path_as_text,
    path_from_text,
    stamp_of,
    write_text,
)
from senet_train.system.foreign_files import CACHE, read_json
from senet_train.system.resources import usable_cores

SCHEMA = 2  # 1 did not know what cannot be read
MANY = 5_000  # files: reading them for the first time may take longer than a user waits in silence

log = logging.getLogger("senet_train")


@dataclass(frozen=True)
class Content:
    """What a file holds.

    `highest` is the highest value of a deep picture, 0 for others. `plain` is whether it is shown
    as every version of this program has decoded it: upright, opaque, of 8 or all of 16 bits.
    `unreadable` is why no decoder knows it, "" for the others; all of it is decoded only later.
    """

    sha256: str
    highest: int
    plain: bool
    unreadable: str = ""


Known = dict[str, tuple[Stamp, Content]]  # by path below the tree


def contents_of(base: Path, paths: Sequence[str]) -> list[Content]:
    """What each of the files below `base` holds, in order. Raises InputError for one that is gone.

    A file that no decoder can read has a hash all the same: it is refused when it is needed.
    """
    stamps = {path: stamp_below(base, path) for path in paths}
    known = read_known(base)
    found = {p: known[p][1] for p in paths if p in known and known[p][0] == stamps[p]}
    missing = [path for path in paths if path not in found]
    if len(missing) > MANY:
        log.info("reading %s files of %s, once, to know what they hold", f"{len(missing):,}", base)
    with ThreadPoolExecutor(usable_cores()) as pool:
        read = pool.map(lambda path: read_content(base, path), missing)
        found |= zip(missing, read, strict=True)
    if missing:
        settled = time.time_ns() - SETTLED_NS
        fresh = {p: (stamps[p], found[p]) for p in missing if max(stamps[p][1:3]) < settled}
        write_known(base, known | fresh)
    return [found[path] for path in paths]


def stamp_below(base: Path, path: str) -> Stamp:
    """The stamp of a file of a tree. Raises InputError if it is gone."""
    try:
        return stamp_of(base / path)
    except OSError as error:
        raise InputError(f"{base / path} cannot be read: {error.strerror}") from error


def read_content(base: Path, path: str) -> Content:
    """Read one file. Raises InputError where the system does not give it."""
    try:
        with open(base / path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            with opened(str(base / path)) as stored:
                return Content(sha256, *decoding_of(stored))
        except Unreadable as error:
            return Content(sha256, 0, True, str(error))
    except OSError as error:
        raise InputError(f"{base / path} cannot be read: {error.strerror}") from error


def decoding_of(stored: Image.Image) -> tuple[int, bool]:
    """The highest value if it is deep, and whether it is plain."""
    upright = orientation(stored) == 1
    if is_deep(stored):
        highest = int(deep_values(stored).max())
        all_bits = highest.bit_length() == FULL_DEPTH
        return highest, upright and stored.mode != "I" and all_bits
    return 0, upright and not stored.has_transparency_data and stored.mode != "F"


def bit_depth_of(contents: Iterable[Content]) -> int:
    """The bits that the deep pictures among them use, from 8 to 16; 16 if there are none."""
    highest = max((content.highest for content in contents), default=0)
    return max(highest.bit_length(), 8) if highest else FULL_DEPTH


def once_decoded(fingerprint: str, decode: Callable[[], object]) -> None:
    """Call `decode` unless it has returned before for images of this fingerprint.

    That it has is kept in the user's cache folder; where there is no safe place it is called anew.
    """
    try:
        mark = cache_folder() / f"decoded-{fingerprint[:32]}"
    except OSError:
        decode()
        return
    if not mark.exists():
        decode()
        with suppress(OSError):  # no room: the next run decodes them again
            mark.touch()


ROWS = TypeAdapter(dict[str, tuple[int, int, int, int, str, int, bool, str]])


def cache_file(base: Path) -> Path:
    """Where the contents of a tree are kept. Raises OSError if there is no safe place."""
    name = hashlib.sha256(os.fsencode(base.resolve())).hexdigest()[:16]
    return cache_folder() / f"contents-{name}.json"


def read_known(base: Path) -> Known:
    """What is kept of a tree; nothing if it is missing, damaged or of another version of Pillow."""
    try:
        content = read_json(cache_file(base), CACHE)
        if content["made_by"] != made_by():
            return {}
        rows = ROWS.validate_python(content["files"])
        return {path_from_text(text): (row[:4], Content(*row[4:])) for text, row in rows.items()}
    except (OSError, ValueError, TypeError, KeyError, ValidationError):
        return {}  # every file is read again


def write_known(base: Path, known: Known) -> None:
    """Keep the contents of a tree; a warning where that fails."""
    rows = {path_as_text(p): [*stamp, *astuple(content)] for p, (stamp, content) in known.items()}
    try:
        write_text(cache_file(base), json.dumps({"made_by": made_by(), "files": rows}))
    except OSError as error:
        log.warning("warning: %s: the next run reads the files of %s again", error, base)


def made_by() -> list[str | int]:
    """What the kept contents depend on: another version of Pillow may see other pictures."""
    return [SCHEMA, pillow_version]
