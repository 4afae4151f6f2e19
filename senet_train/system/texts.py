"""Text that leaves the program: of names that anybody may have written, nothing is obeyed.

Each border does this once: the console and the log, CSV, Markdown, HTML, LaTeX and pictures.
"""

import dataclasses
import json
import unicodedata
from collections.abc import Callable
from typing import Any

# Spaces of other widths, and what joins letters in Persian and in emoji: they steer nothing.
HARMLESS_KINDS, JOINERS = ("Zs",), "\u200c\u200d"


def printable(text: str) -> str:
    """Characters that a terminal would obey, or could not print, are written as escapes.

    Those are control characters, line breaks and NUL among them, marks that turn the direction of
    text, and halves of characters that no file in UTF-8 can hold.
    """
    if text.isprintable():
        return text
    return "".join(c if is_harmless(c) else c.encode("unicode_escape").decode() for c in text)


def is_harmless(character: str) -> bool:
    """Whether it is shown, and does nothing."""
    return (
        character.isprintable()
        or character in JOINERS
        or unicodedata.category(character) in HARMLESS_KINDS
    )


def printable_json(value: Any) -> str:
    """JSON in one line, letters as they are; what is not printable as JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if is_harmless(c) else json.dumps(c)[1:-1] for c in text)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A value with every string in it changed: in dataclasses, tuples, lists and dicts."""
    if isinstance(value, str):
        return change(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **{k: mapped(v, change) for k, v in fields.items()})
    if isinstance(value, dict):
        return {mapped(k, change): mapped(v, change) for k, v in value.items()}
    if isinstance(value, list):
        return [mapped(each, change) for each in value]
    if isinstance(value, tuple):
        changed = [mapped(each, change) for each in value]
        return type(value)(*changed) if hasattr(value, "_fields") else tuple(changed)
    return value
