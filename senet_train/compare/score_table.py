"""A table of scores that others made: a CSV file with the columns arm, seed and score.

A column `block` divides the table; every other column is a setting of its run. Scores are percent.
Whatever is wrong is an InputError that names the line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from senet_train.compare.blocks import NOT_SET
from senet_train.errors import InputError, listed
from senet_train.system.foreign_files import TABLE
from senet_train.system.written_tables import Line, fault, read_lines

ENDINGS = (".csv", ".tsv")  # of the name of a file that is read as a table
ARM, SEED, SCORE, BLOCK = "arm", "seed", "score", "block"
NEEDED = (ARM, SEED, SCORE)
NO_SETTING = (*NEEDED, BLOCK)
WHOLE = re.compile(r"\d{1,18}", re.ASCII)
# A point or a comma before the decimals: no score has thousands to divide.
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
MOST_ARMS = 200  # of a table: each is a row of its pictures
LONGEST = 60  # characters of a cell in a message


@dataclass(frozen=True)
class Row:
    """A run: where it stands, its block ("" without such a column), what it is and what it got."""

    line: int
    block: str
    arm: str
    seed: int
    score: float
    settings: tuple[str, ...]  # as many as the table has columns


@dataclass(frozen=True)
class ScoreTable:
    """A table: its file, the names of the settings, and its rows in their order."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]


def is_table(path: Path) -> bool:
    """Whether a path is taken for a table: by its name, unless it is a folder."""
    return path.suffix.lower() in ENDINGS and not path.is_dir()


def read_scores(path: Path) -> ScoreTable:
    """The table in a file. Raises InputError."""
    lines = read_lines(path, TABLE, NEEDED)
    if not lines:
        raise InputError(f"{path} is empty: its first line names the columns {', '.join(NEEDED)}")
    header, *others = lines
    places = places_of(path, header, others)
    if not others:
        raise InputError(f"{path} has no row below its header: give every run a row")
    rows = [row_of(path, line, places) for line in others]
    refuse_repeated(path, rows)
    refuse_fractions(path, rows)
    refuse_many_arms(path, rows)
    return ScoreTable(path, tuple(name for name in places if name not in NO_SETTING), rows)


def places_of(path: Path, header: Line, others: Sequence[Line]) -> dict[str, int]:
    """Name of a column -> its place. Columns without a name and without content are left out."""
    places: dict[str, int] = {}
    for place, name in enumerate(header.cells):
        if name in places:
            raise fault(path, header, f"it has the column {shown(name)} twice: rename one")
        if name:
            places[name] = place
            continue
        for line in others:
            if place < len(line.cells) and line.cells[place]:
                words = f"column {place + 1} has no name: name it in line {header.number}, or"
                raise fault(path, line, f"{words} remove it")
    missing = [name for name in NEEDED if name not in places]
    if missing:
        has = listed([shown(name) for name in places])
        raise fault(path, header, f"it has no column {missing[0]}, and has {has}: name it there")
    return places


def row_of(path: Path, line: Line, places: Mapping[str, int]) -> Row:
    """The run of a row. Raises InputError."""
    refuse_uneven(path, line, places)
    cells = {name: line.cells[place] for name, place in places.items()}
    for name in (ARM, BLOCK):
        if not cells.get(name, "-"):
            raise fault(path, line, f"it has no {name}: write the name of one")
    if not WHOLE.fullmatch(cells[SEED]):
        raise fault(path, line, f"a seed is a whole number, 0 or more: got {shown(cells[SEED])}")
    return Row(
        line.number,
        cells.get(BLOCK, ""),
        cells[ARM],
        int(cells[SEED]),
        score_of(path, line, cells[SCORE]),
        tuple(cells[name] or NOT_SET for name in places if name not in NO_SETTING),
    )


def refuse_uneven(path: Path, line: Line, places: Mapping[str, int]) -> None:
    """Raises InputError for a row with too few cells, or with more than the header names."""
    wanted = max(places.values()) + 1
    if len(line.cells) < wanted or any(line.cells[wanted:]):
        raise fault(
            path,
            line,
            f"it has {len(line.cells)} cells and the header {wanted}: write every cell, an empty "
            "one too; a cell with the separator in it, such as 91,5, needs quotes",
        )


def score_of(path: Path, line: Line, text: str) -> float:
    """The score in percent. Raises InputError."""
    if not NUMBER.fullmatch(text):
        raise fault(path, line, f"a score is a number, in percent: got {shown(text)}; mend the row")
    score = float(text.replace(",", "."))
    if not 0 <= score <= 100:
        raise fault(path, line, f"scores are percent, 0 to 100: got {shown(text)}; mend the row")
    return score


def refuse_repeated(path: Path, rows: Sequence[Row]) -> None:
    """Raises InputError for a second row of one arm and seed: which one would be compared?"""
    lines: dict[tuple[str, str, int], int] = {}
    for row in rows:
        first = lines.setdefault((row.block, row.arm, row.seed), row.line)
        if first != row.line:
            raise InputError(
                f"{path} line {row.line}: {shown(row.arm)} has seed {row.seed} in line {first} "
                "already: keep one of them, or tell them apart by a column block"
            )


def refuse_fractions(path: Path, rows: Sequence[Row]) -> None:
    """Raises InputError where no score is above 1: they are fractions, and not percent."""
    highest = max(row.score for row in rows)
    if highest <= 1:
        raise InputError(
            f"{path}: scores are percent, 0 to 100, and the highest is {highest:g}: if they are "
            "fractions, multiply them by 100"
        )


def refuse_many_arms(path: Path, rows: Sequence[Row]) -> None:
    """Raises InputError for more arms than a page can show."""
    arms = len({(row.block, row.arm) for row in rows})
    if arms > MOST_ARMS:
        raise InputError(
            f"{path} has {arms:,} arms, and a table at most {MOST_ARMS}: divide it into several "
            "files"
        )


def shown(text: str) -> str:
    """A cell in a message; of a long one its beginning."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
