"""Tables as CSV. A cell that a spreadsheet would compute as a formula is written as text.

Class names, file names and labels are anybody's, and a formula can read files or open addresses.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from senet_train.system.texts import printable

# Some spreadsheets take the wide signs of East Asian keyboards for the plain ones.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A header and a line for each row; "" without rows.

    A column that a row does not have, or that is None in it, is empty.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [[row.get(column) for column in columns] for row in rows]
    return csv_text([columns, *lines]) if rows else ""


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """All rows, the header among them, as `csv_line` writes each."""
    return "".join(map(csv_line, rows))


def csv_line(cells: Iterable[object]) -> str:
    """One row and its line feed."""
    line = io.StringIO()
    # Python 3.11 quotes a carriage return only where the line terminator has one. Without quotes
    # it would begin a new row, whose first cell nobody has looked at.
    csv.writer(line, lineterminator="\r\n").writerow(map(written, cells))
    return line.getvalue().removesuffix("\r\n") + "\n"


def written(cell: object) -> object:
    """A cell as it is written: text with escapes for what steers a terminal, and no formula."""
    return escape_formula(printable(cell)) if isinstance(cell, str) else cell


def escape_formula(cell: object) -> object:
    """Text that a spreadsheet would compute gets a single quote before it; a number stays one."""
    if not isinstance(cell, str) or not cell.startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
