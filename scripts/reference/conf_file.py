"""A file of conf/ as a reader sees it: its header, and each key with its value and its comment.

A comment stands behind a key, or above it, or behind what it is a part of; one that begins in the
column of the comment above goes on with that.
"""

import re
from dataclasses import dataclass
from pathlib import Path

KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?: +(?P<value>.*))?$")
LEFT_OUT = ("defaults", "hydra")


@dataclass(frozen=True)
class Key:
    """A key by its whole path, the default as it is written, and what the file says of it."""

    path: str
    value: str
    comment: str


def header_of(file: Path) -> list[str]:
    """The comment at the top, without Hydra's own line."""
    lines = [
        line
        for line in file.read_text(encoding="utf-8").splitlines()
        if not line.startswith("# @package")
    ]
    number = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:number]]


def sets_other_groups(file: Path) -> bool:
    """Whether its keys are whole paths, not those of the file's own group."""
    return file.read_text(encoding="utf-8").startswith("# @package _global_")


def keys_of(file: Path) -> list[Key]:
    """Every key with a value, in the order of the file."""
    found: list[Key] = []
    parents: list[tuple[int, str, str]] = []
    above: list[str] = []
    column = -1  # in which a comment begins that may go on
    for line in body_of(file):
        text, start = split_comment(line)
        comment = line[start + 1 :].strip() if start >= 0 else ""
        matched = KEY.match(text)
        if matched is None:
            if found and start >= 0 and start == column and not text:
                found[-1] = with_more(found[-1], comment)
            elif not text and comment:
                above.append(comment)
            continue
        indent = len(matched["indent"])
        parents = [parent for parent in parents if parent[0] < indent]
        path = ".".join([*(name for _, name, _ in parents), matched["key"]])
        if matched["value"]:
            said = " ".join([*above, comment]).strip() or (parents[-1][2] if parents else "")
            found.append(Key(path, matched["value"].strip(), said))
        else:
            parents.append((indent, matched["key"], comment))
        above, column = [], start
    return [key for key in found if key.path.split(".")[0] not in LEFT_OUT]


def body_of(file: Path) -> list[str]:
    """The lines below the header."""
    lines = file.read_text(encoding="utf-8").splitlines()
    number = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[number:]


def split_comment(line: str) -> tuple[str, int]:
    """What stands before the comment, and the column of its `#`; -1 where there is none."""
    found = re.search(r"(?:^|\s)#", line)
    start = line.index("#", found.start()) if found else -1
    return (line[:start] if found else line).rstrip(), start


def with_more(key: Key, comment: str) -> Key:
    """The key with a further line of its comment."""
    return Key(key.path, key.value, f"{key.comment} {comment}")
