"""Tables that people and their programs write, as CSV: the cells of each row, and its line.

In UTF-8, with or without a byte order mark; separated by commas, semicolons or tabs, as
spreadsheets do it; with any line ends, and quotes around any cell. Lines before the header that
begin with # are comments. An error names the line, as an editor counts it.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from senet_train.errors import InputError
from senet_train.system.foreign_files import BadFile, read_bytes

SEPARATORS = (",", ";", "\t")
ABOVE_HEADER = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?\n)+")  # empty lines and comments
SAVE_ANEW = "save it anew as CSV in UTF-8"


@dataclass(frozen=True)
class Line:
    """A row: the line where it begins, counted from 1, and its cells without outer spaces."""

    number: int
    cells: list[str]


def fault(path: Path, line: Line, words: str) -> InputError:
    """What is wrong with a line of a table."""
    return InputError(f"{path} line {line.number}: {words}")


def read_lines(path: Path, most: int, names: Sequence[str]) -> list[Line]:
    """The rows that have a cell with something in it, the header first; [] of an empty file.

    The separator is the one with which the header has most of these names. Raises InputError.
    """
    text = text_of(path, content_of(path, most))
    above = ABOVE_HEADER.match(text)
    start = above.end() if above else 0
    header = text[start:].partition("\n")[0]
    separator = max(SEPARATORS, key=lambda each: len({*names} & {*cells_of(header, each)}))
    rows = parsed(path, text[start:], separator, text.count("\n", 0, start))
    return [line for line in rows if any(line.cells)]


def content_of(path: Path, most: int) -> bytes:
    """The bytes of the file that a user has named: a link is followed. Raises InputError."""
    try:
        return read_bytes(path.resolve(), most)
    except (FileNotFoundError, RuntimeError):  # a circle of links
        raise InputError(f"{path} is not there: name a CSV file, or a folder with runs") from None
    except BadFile as error:
        raise InputError(
            f"{path} cannot be read ({error.reason}): name a CSV file that you may read"
        ) from None


def text_of(path: Path, content: bytes) -> str:
    """The text, its lines ended by line feeds. Raises InputError for what is no UTF-8."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in lines:
        number = lines[: lines.index(b"\0")].count(b"\n") + 1
        raise InputError(f"{path} line {number}: it is UTF-16, or no text: {SAVE_ANEW}")
    try:
        return lines.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = lines[: error.start].count(b"\n") + 1
        raise InputError(f"{path} line {number}: it is not in UTF-8: {SAVE_ANEW}") from None


def cells_of(line: str, separator: str) -> list[str]:
    """The cells of a header, without quotes."""
    return [cell.strip().strip('"') for cell in line.split(separator)]


def parsed(path: Path, text: str, separator: str, above: int) -> Iterator[Line]:
    """Every row, with so many lines `above` the first.

    Raises InputError for quotes that do not close, and for endless cells.
    """
    rows = csv.reader(io.StringIO(text), delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        number = above + rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{path} line {number}: {error}: mend the quotes of this line"
            ) from None
        yield Line(number, [cell.strip() for cell in cells])
