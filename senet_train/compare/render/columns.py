"""A table in a terminal of any width: what fits, what is left out, and each of its lines.

A name is in one line. Where it and the columns that never leave are wider than the terminal, it has
a line of its own, and the figures stand below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len

from senet_train.compare.render.sheets import Sheet
from senet_train.system.texts import printable

GAP = "  "  # between columns
INDENT = "  "  # of figures below a name
NARROWEST = 6  # characters, of a column of figures: most headers then need two lines, not three


@dataclass(frozen=True)
class Fitted:
    """A table as it stands in a width: the columns that are shown and left out, by number.

    `stacked`: the first column, the name, is a line of its own above the others.
    """

    sheet: Sheet
    shown: list[int]
    left_out: list[int]
    widths: list[int]  # of every column of the sheet
    stacked: bool

    def header(self, rule: str) -> list[str]:
        """The lines of the header, below them one of the character `rule`."""
        heads = [
            wrap(self.sheet.columns[i], self.widths[i]) if i else [self.sheet.columns[0]]
            for i in self.beside
        ]
        most = max(map(len, heads))
        lines = [[""] * (most - len(head)) + head for head in heads]
        above = [self.sheet.columns[0]] if self.stacked else []
        below = self.indent + rule * width_of(self.beside, self.widths)
        return [*above, *(self.line([head[n] for head in lines]) for n in range(most)), below]

    @property
    def names_left_out(self) -> list[str]:
        """The names of the columns that are left out."""
        return [self.sheet.columns[i] for i in self.left_out]

    @property
    def indent(self) -> str:
        """What stands before the figures."""
        return INDENT if self.stacked else ""

    @property
    def beside(self) -> list[int]:
        """The columns that stand in one line."""
        return [i for i in self.shown if i or not self.stacked]

    def line(self, cells: Sequence[str]) -> str:
        """Cells of the columns that stand in one line, words to the left, figures to the right."""
        padded = (
            pad(cell, self.widths[i], left=self.sheet.is_word(i))
            for i, cell in zip(self.beside, cells, strict=True)
        )
        return self.indent + GAP.join(padded).rstrip()

    def row(self, row: Sequence[str]) -> list[str]:
        """The lines of a row: one, or the name and the figures."""
        cells = [printable(cell) for cell in row]
        line = self.line([cells[i] for i in self.beside])
        return [cells[0], line] if self.stacked else [line]


def fitted(sheet: Sheet, width: int) -> Fitted:
    """The table with as many columns as fit, in the order in which they leave."""
    widths = [column_width(sheet, index) for index in range(len(sheet.columns))]
    for stacked in (False, True):
        room = width - len(INDENT) if stacked else width
        shown = [i for i in range(len(widths)) if i or not stacked]
        leaving = sheet.leaving()
        while width_of(shown, widths) > room and leaving:
            shown.remove(leaving.pop(0))
        if width_of(shown, widths) <= room:
            break
    whole = [0, *shown] if stacked else shown
    left_out = [i for i in range(len(widths)) if i not in whole]
    return Fitted(sheet, whole, left_out, widths, stacked)


def width_of(columns: Sequence[int], widths: Sequence[int]) -> int:
    """The width of a line of these columns."""
    return sum(widths[i] for i in columns) + len(GAP) * (len(columns) - 1)


def column_width(sheet: Sheet, index: int) -> int:
    """The widest cell; of a header of several words, which folds, its longest word."""
    cells = max((cell_len(printable(row[index])) for row in sheet.rows), default=0)
    words = sheet.columns[index].split()
    return max(cells, NARROWEST if len(words) > 1 else 0, *map(len, words))


def pad(text: str, width: int, *, left: bool) -> str:
    """The text with spaces to a width in a terminal, where a Chinese character takes two."""
    spaces = " " * (width - cell_len(text))
    return text + spaces if left else spaces + text
