"""Read files that are not ours: of other runs, of a neighbour, of a stranger.

They are data, and may be anything. A file is opened without waiting and without following a link at
its end, it must be a regular file, it is read up to a size, and parsed with limits. Whatever is
wrong with it is a BadFile of one line that names it; a file that is not there is a
FileNotFoundError.
"""

import csv
import io
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from senet_train.errors import InputError
from senet_train.system.regular_file import open_regular

if TYPE_CHECKING:  # most of who reads files needs no arrays
    from numpy.typing import NDArray

KIB, MIB = 1 << 10, 1 << 20
SMALL = 64 * KIB  # a status, a hash: some hundred bytes
TREE = 16 * MIB  # a record with its configuration: the names of 12,000 classes took 1.2 MB
TABLE = 16 * MIB  # metrics.csv has some 160 bytes an epoch
CACHE = 1024 * MIB  # what is known of files: some 150 bytes for each image
ARRAYS = 256 * MIB  # unpacked; 20,000 images and 1,600 classes of overlaps
WAY_OUT = "run it anew with overwrite=true, or move it away"


class BadFile(InputError):
    """A file that cannot be read as what it should be, and for what reason."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{path} cannot be read ({reason}): {WAY_OUT}")


def open_foreign(path: Path) -> IO[bytes]:
    """The opened file, a regular one. Raises FileNotFoundError, BadFile."""
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except (OSError, ValueError) as error:  # no permission, a link; a NUL in its name
        raise BadFile(path, reason_of(path, error)) from error
    return os.fdopen(descriptor, "rb")


def reason_of(path: Path, error: OSError | ValueError) -> str:
    """Why a file cannot be opened or read, in words."""
    if os.path.islink(path):
        return "it is a symbolic link, and these are not followed here"
    return getattr(error, "strerror", None) or str(error)


def refuse_special(path: Path) -> None:
    """As `open_foreign`, for a file that a library is going to open by its name."""
    open_foreign(path).close()


def read_bytes(path: Path, most: int) -> bytes:
    """The whole content, at most so many bytes. Raises FileNotFoundError, BadFile."""
    with open_foreign(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise BadFile(path, reason_of(path, error)) from error
    if len(content) > most:
        raise BadFile(path, f"it has more than {most:,} bytes")
    return content


def read_json(path: Path, most: int) -> Any:
    """What a JSON file holds. Raises FileNotFoundError, BadFile."""
    content = read_bytes(path, most)
    try:
        return json.loads(content)
    # Deep brackets, numbers of thousands of digits, text that is no UTF-8.
    except (ValueError, RecursionError) as error:
        raise BadFile(path, f"it is no JSON: {error}") from error


def read_rows(path: Path, most: int) -> Iterator[list[str]]:
    """The rows of a CSV file, the header first, one at a time.

    Raises FileNotFoundError, BadFile, as late as where the row is reached.
    """
    text = io.TextIOWrapper(io.BytesIO(read_bytes(path, most)), "utf-8", newline="")
    try:
        yield from csv.reader(text)
    except (csv.Error, ValueError) as error:  # a cell of over 128 KiB; text that is no UTF-8
        raise BadFile(path, f"it is no table: {error}") from error


def read_columns(path: Path, most: int, names: Sequence[str]) -> list[tuple[str, ...]]:
    """These columns of a CSV file, a tuple for each row. Raises FileNotFoundError, BadFile."""
    rows = read_rows(path, most)
    header = next(rows, [])
    missing = [name for name in names if name not in header]
    if missing:
        raise BadFile(path, f"it has no column {missing[0]}")
    places = [header.index(name) for name in names]
    try:
        return [tuple(row[place] for place in places) for row in rows if row]
    except IndexError as error:
        raise BadFile(path, "a row of it is too short") from error


def read_numbers(path: Path, most: int, names: Sequence[str]) -> list[tuple[float, ...]]:
    """As `read_columns`, of numbers."""
    rows = read_columns(path, most, names)
    try:
        return [tuple(map(float, row)) for row in rows]
    except ValueError as error:
        raise BadFile(path, str(error)[:80]) from error


def read_arrays(path: Path, names: Sequence[str]) -> "list[NDArray[Any]]":
    """These arrays of a .npz file. Raises FileNotFoundError, BadFile.

    An archive of a few megabytes can unpack to gigabytes: the sizes are looked at first.
    """
    import numpy as np

    with open_foreign(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                refuse_large(path, archive, names)
                return [member_array(np, path, archive, name) for name in names]
        except BadFile:
            raise
        except MemoryError as error:
            raise BadFile(path, "there is no memory for it") from error
        # zipfile and numpy raise many kinds for what is no archive, or no array.
        except Exception as error:
            raise BadFile(path, f"it holds no arrays: {error}") from error


def refuse_large(path: Path, archive: zipfile.ZipFile, names: Sequence[str]) -> None:
    """Raises BadFile for members that would unpack to too much, KeyError for a missing one."""
    if sum(archive.getinfo(f"{name}.npy").file_size for name in names) > ARRAYS:
        raise BadFile(path, f"it would unpack to more than {ARRAYS:,} bytes")


def member_array(np: Any, path: Path, archive: zipfile.ZipFile, name: str) -> "NDArray[Any]":
    """One array of the archive; its header must not ask for more than the member holds."""
    size = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as member:
        content = io.BytesIO(member.read(size))
    version = np.lib.format.read_magic(content)
    reader = np.lib.format.read_array_header_1_0
    shape, _, kind = (reader if version == (1, 0) else np.lib.format.read_array_header_2_0)(content)
    if kind.hasobject or kind.itemsize * number_of(shape) > size:
        raise BadFile(path, f"{name} has the shape {shape} and {size:,} bytes")
    content.seek(0)
    array: NDArray[np.generic] = np.lib.format.read_array(content, allow_pickle=False)
    return array


def number_of(shape: Sequence[int]) -> int:
    """The number of elements, which for numpy would have to fit in 64 bits."""
    number = 1
    for side in shape:
        number *= side
    return number


def refuse_packed(path: Path) -> None:
    """Raises BadFile for an archive of torch that unpacks to more than it has: ours are stored."""
    with open_foreign(path) as file:
        if not zipfile.is_zipfile(file):
            return
        try:
            with zipfile.ZipFile(file) as archive:
                packed = [m for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise BadFile(path, f"it is no archive: {error}") from error
    if packed:
        raise BadFile(path, "it is compressed, which a checkpoint never is")
