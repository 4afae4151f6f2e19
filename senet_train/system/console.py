"""Printing for a person: a console as wide as its tables, and text without control characters."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 110  # characters, where nothing else is known


def table_console() -> "Console":
    """Standard output: as wide as the terminal; as wide as tables need for a pipe or a file."""
    from rich.console import Console  # here: the help of a command need not wait for it

    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=WIDTH)


def printable(text: str) -> str:
    """Characters that a terminal would obey, or could not print, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
