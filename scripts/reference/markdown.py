"""Tables and blocks of Markdown."""

import re
from collections.abc import Sequence

GENERATED = "This page is written by `scripts/write_reference.py`; do not edit it by hand."


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *([cell_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell_text(text: str) -> str:
    """One line, in which no bar ends the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def escaped(text: str) -> str:
    """Plain text of which Markdown reads nothing as its own."""
    return re.sub(r"([\\*<\[`])", r"\\\1", text)


def block(text: str) -> str:
    """Text that is shown as it is."""
    return f"```\n{text.strip()}\n```"


def page(title: str, introduction: str, *parts: str) -> str:
    """A whole page, which says that it is generated."""
    return "\n\n".join([f"# {title}", introduction, GENERATED, *parts]) + "\n"
