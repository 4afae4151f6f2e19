"""Ways to damage a file of a run, and what a command may do with a run that has one."""

import builtins
import io
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

HUGE = 8 << 30  # bytes; a sparse file takes none on disk
CUTS = range(10)  # tenths of a file at which it is cut


@dataclass(frozen=True)
class Other:
    """Where files for a swap are: an older run, another run, and a place outside of all runs."""

    old: Path
    another: Path
    outside: Path


Damage = Callable[[Path, str, Other], None]  # the file, its name in a run, where others are


def absent(file: Path, name: str, other: Other) -> None:
    file.unlink(missing_ok=True)


def cut_at(tenth: int) -> Damage:
    def cut(file: Path, name: str, other: Other) -> None:
        content = file.read_bytes() if file.exists() else b"0123456789"
        file.write_bytes(content[: len(content) * tenth // 10])

    return cut


def with_content(content: bytes) -> Damage:
    def write(file: Path, name: str, other: Other) -> None:
        file.write_bytes(content)

    return write


def digits(file: Path, name: str, other: Other) -> None:
    """Every number of a text has 400 digits."""
    content = file.read_bytes() if file.exists() else b"1"
    file.write_bytes(re.sub(rb"\d+(\.\d+)?", b"9" * 400, content[:100_000]))


def signs(file: Path, name: str, other: Other) -> None:
    """Every number of a text is negative."""
    content = file.read_bytes() if file.exists() else b"1"
    file.write_bytes(re.sub(rb"(?<![\w.\"-])(\d)", rb"-\1", content[:100_000]))


def zeros(file: Path, name: str, other: Other) -> None:
    """Every number of a text is zero."""
    content = file.read_bytes() if file.exists() else b"1"
    file.write_bytes(re.sub(rb"(?<![\w.\"-])\d+(\.\d+)?(?![\w.\"])", b"0", content[:100_000]))


def folder(file: Path, name: str, other: Other) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()
    (file / "inside").write_text("x")


def link(file: Path, name: str, other: Other) -> None:
    """A link to a copy of the file, outside."""
    target = other.outside / "linked"
    target.write_bytes(file.read_bytes() if file.exists() else b"{}")
    file.unlink(missing_ok=True)
    file.symlink_to(target)


def link_to_itself(file: Path, name: str, other: Other) -> None:
    file.unlink(missing_ok=True)
    file.symlink_to(file.name)


def pipe(file: Path, name: str, other: Other) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def device(file: Path, name: str, other: Other) -> None:
    """A link to a device without end: only root can make one itself."""
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/zero")


def huge(file: Path, name: str, other: Other) -> None:
    file.touch()
    os.truncate(file, HUGE)


def old(file: Path, name: str, other: Other) -> None:
    """The file of a run that an earlier version made; nothing where it had none."""
    swap(file, other.old / name)


def of_another_run(file: Path, name: str, other: Other) -> None:
    swap(file, other.another / name)


def swap(file: Path, source: Path) -> None:
    file.unlink(missing_ok=True)
    if source.is_file():
        shutil.copy(source, file)


def unreadable(file: Path, name: str, other: Other) -> None:
    """For a user of the tests who is not root; `no_permission` does it for root."""
    file.touch()
    file.chmod(0)


ODD = (
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    "",
    "x" * 10_000,
    "\0\x1b",
    [],
    {},
    [[]],
    {"name": 1},
    "1",
)


def odd_value(seed: int) -> Damage:
    """One value of a file of JSON or YAML, or one cell of a table, is another."""
    draw = random.Random(seed)

    def change(file: Path, name: str, other: Other) -> None:
        if file.suffix == ".csv":
            rows = [line.split(",") for line in file.read_text().splitlines()]
            row = draw.choice(rows)
            row[draw.randrange(len(row))] = str(draw.choice(ODD))
            file.write_text("\n".join(map(",".join, rows)))
            return
        tree = yaml.safe_load(file.read_text())
        node, key = draw.choice(places(tree))
        node[key] = draw.choice(ODD)
        file.write_text(json.dumps(tree))  # which is YAML too

    return change


def places(node: Any) -> list[tuple[Any, Any]]:
    """Where a value stands, in every dict and list of a tree."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    found = [(node, key) for key in keys] if isinstance(node, dict | list) else []
    return found + [p for n, k in found if isinstance(n[k], dict | list) for p in places(n[k])]


DAMAGES: dict[str, Damage] = {
    "absent": absent,
    "empty": with_content(b""),
    **{f"cut at {tenth}0 %": cut_at(tenth) for tenth in CUTS[1:]},
    "one byte": with_content(b"\x80"),
    "a list": with_content(b"[1]"),
    "null": with_content(b"null"),
    "another dict": with_content(b'{"sha256": {"a": [null]}, "state": 5}'),
    "brackets": with_content(b"[" * 60_000),
    "a wide cell": with_content(b"stage,epoch,val_top1\n" + b"9" * 200_000 + b",1,1\n"),
    "NUL": with_content(bytes(1000)),
    "400 digits": digits,
    "negative": signs,
    "zeros": zeros,
    "folder": folder,
    "link": link,
    "link to itself": link_to_itself,
    "pipe": pipe,
    "device": device,
    "unreadable": unreadable,
    "huge": huge,
    "old": old,
    "of another run": of_another_run,
}


@contextmanager
def no_permission(file: Path) -> Iterator[None]:
    """For the block, the system refuses to open the file, to root as well."""

    def refusing(usual: Callable[..., object]) -> Callable[..., object]:
        def opening(path: object, *arguments: object, **options: object) -> object:
            if isinstance(path, str | os.PathLike) and os.path.abspath(path) == str(file):
                raise PermissionError(13, "Permission denied", str(path))
            return usual(path, *arguments, **options)

        return opening

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refusing(os.open))
        patch.setattr(io, "open", refusing(io.open))
        patch.setattr(builtins, "open", refusing(builtins.open))
        yield


def state_of(base: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below a folder: its kind, its size, and when it was written."""
    found = {}
    for path, folders, files in os.walk(base):
        for name in [*folders, *files]:
            seen = os.lstat(os.path.join(path, name))
            is_file = (seen.st_mode & 0o170000) == 0o100000
            written = (seen.st_size, seen.st_mtime_ns) if is_file else (0, 0)
            found[os.path.relpath(os.path.join(path, name), base)] = (seen.st_mode, *written)
    return found
