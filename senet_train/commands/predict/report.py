"""Rows on the terminal, or as CSV or JSON; each is written as soon as it is predicted."""

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from senet_train.commands.predict.rows import Row
from senet_train.commands.progress_bar import progress_counter
from senet_train.system.console import table_console
from senet_train.system.csv_files import csv_line
from senet_train.system.files import write_atomic
from senet_train.system.texts import printable, printable_json

BLOCK = 20  # images that stand in one table
LONGEST_FILE, LONGEST_CLASS = 60, 32  # characters in a line; longer names go on below


def print_rows(rows: Iterator[Row], names: Iterable[str]) -> int:
    """Print tables of 20 images each, the header on the first; return the number of images.

    The columns are as wide as the first images and all class names need.
    """
    console = table_console()
    widest_class = column_width(names, "class", LONGEST_CLASS)
    room = max(console.width - widest_class - len("probability") - 6, 12)
    count, widest_file = 0, 0
    while block := list(islice(rows, BLOCK)):
        files = (printable(row.file) for row in block)
        widest_file = widest_file or column_width(files, "image", min(LONGEST_FILE, room))
        console.print(table_of(block, widest_file, widest_class, header=not count))
        count += len(block)
    return count


def column_width(words: Iterable[str], heading: str, longest: int) -> int:
    """The width of a column with this heading and these words, at most `longest`."""
    return min(max(map(cell_len, (heading, *words))), longest)


def table_of(rows: Iterable[Row], widest_file: int, widest_class: int, *, header: bool) -> Table:
    """A line for each class of each image, with the file's name beside the first."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=header,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column("image", width=widest_file, overflow="fold")
    table.add_column("class", width=widest_class, overflow="fold")
    table.add_column("probability", width=len("probability"), justify="right")
    for row in rows:
        for rank, (name, probability) in enumerate(row.classes):
            file = "" if rank else printable(row.file)
            table.add_row(Text(file), Text(name), Text(f"{probability:.4f}"))
    return table


def write_rows(rows: Iterable[Row], file: Path, top: int) -> int:
    """Write CSV or JSON, by the ending of the file's name; return the number of rows.

    The file appears when all of it is written; one row at a time is held. Raises OSError.
    """
    written = 0

    def count_each(count: Callable[[int], None]) -> Iterator[Row]:
        nonlocal written
        for row in rows:
            yield row
            written += 1
            count(1)

    def fill(binary: IO[bytes]) -> None:
        text = io.TextIOWrapper(binary, "utf-8", errors="backslashreplace", newline="")
        with progress_counter(None, "predicted") as count:
            WRITERS[file.suffix.lower()](count_each(count), text, top)
        text.flush()
        text.detach()

    write_atomic(file, fill)
    return written


def write_csv(rows: Iterable[Row], text: IO[str], top: int) -> None:
    """A line for each image: file, class_1, probability_1, class_2 and so on."""
    heads = [f"{what}_{rank}" for rank in range(1, top + 1) for what in ("class", "probability")]
    text.write(csv_line(["file", *heads]))
    for row in rows:
        cells = [cell for name, p in row.classes for cell in (name, f"{p:.6f}")]
        text.write(csv_line([row.file, *cells]))


def write_json(rows: Iterable[Row], text: IO[str], top: int) -> None:
    """A list with an object for each image: its file, and its classes from the likeliest on."""
    before = "[\n"
    for row in rows:
        classes = [{"class": name, "probability": round(p, 6)} for name, p in row.classes]
        text.write(before + printable_json({"file": row.file, "classes": classes}))
        before = ",\n"
    text.write("[]\n" if before == "[\n" else "\n]\n")


WRITERS: dict[str, Callable[[Iterable[Row], IO[str], int], None]] = {
    ".csv": write_csv,
    ".json": write_json,
}
