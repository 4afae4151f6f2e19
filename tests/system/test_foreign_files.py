"""Files of others: whatever they are, they are read or refused in one line, and soon."""

import io
import json
import os
import re
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from senet_train.system import foreign_files
from senet_train.system.foreign_files import (
    SMALL,
    BadFile,
    read_arrays,
    read_bytes,
    read_columns,
    read_json,
    read_numbers,
    refuse_packed,
)

READERS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda file: read_bytes(file, SMALL),
    "JSON": lambda file: read_json(file, SMALL),
    "columns": lambda file: read_columns(file, SMALL, ["a"]),
    "numbers": lambda file: read_numbers(file, SMALL, ["a"]),
    "arrays": lambda file: read_arrays(file, ["a"]),
    "archive": refuse_packed,
}


def special(kind: str, file: Path) -> None:
    """Make a file of a kind that must not be read."""
    whole = file.with_name("whole")
    whole.write_text('{"a": 1}')
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "link":
            file.symlink_to(whole)
        case "link to itself":
            file.symlink_to(file)
        case "link to a device":
            file.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "link to itself", "link to a device"])
@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_are_opened(kind: str, reader: str, tmp_path: Path) -> None:
    special(kind, tmp_path / "file")
    with pytest.raises(BadFile) as caught:
        READERS[reader](tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'} cannot be read (it is ")
    assert "\n" not in str(caught.value)


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    """The control: of a path only the last component is refused as a link."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_text("[1]")
    (tmp_path / "linked").symlink_to("run")
    assert read_json(tmp_path / "linked" / "file", SMALL) == [1]


@pytest.mark.parametrize("reader", READERS)
def test_what_is_missing_is_not_damaged(reader: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for missing in ("gone", "file/below", "gone/below"):
        with pytest.raises(FileNotFoundError):
            READERS[reader](tmp_path / missing)


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(10))
    assert read_bytes(file, 10) == bytes(10)
    os.truncate(file, 8 << 30)
    with pytest.raises(BadFile, match=r"it has more than 10 bytes"):
        read_bytes(file, 10)


@pytest.mark.parametrize("text", ["[" * 60_000, "9" * 5000, "\udcff", "nul", "", '{"a": 1'])
def test_text_that_is_no_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadFile, match="it is no JSON"):
        read_json(tmp_path / "file", 1 << 20)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n" + "9" * 200_000, "it is no table: field larger"),
        ("b\n1\n", "it has no column a"),
        ("", "it has no column a"),
        ("b,a\n1\n", "a row of it is too short"),
        ("a\nx\n", "could not convert"),
        ("a\n\udcff\n", "it is no table"),
    ],
)
def test_text_that_is_no_table(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadFile, match=words.replace("(", r"\(")):
        read_numbers(tmp_path / "file", 1 << 20, ["a"])


def test_a_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("b,a\n1,2\n\n3,nan\n")
    np.testing.assert_equal(read_numbers(tmp_path / "file", SMALL, ["a"]), [(2,), (np.nan,)])


def bomb(file: Path, num_bytes: int) -> None:
    """An archive whose array unpacks to so many bytes."""
    np.savez_compressed(file, a=np.zeros(num_bytes, "u1"))


def lying(file: Path, header: dict[str, object]) -> None:
    """An archive with an array whose header says something else."""
    with zipfile.ZipFile(file, "w") as archive, archive.open("a.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)  # type: ignore[arg-type]


def test_an_archive_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file.npz"
    bomb(file, 1 << 20)
    assert file.stat().st_size < 1 << 12
    assert len(read_arrays(file, ["a"])[0]) == 1 << 20  # the control
    monkeypatch.setattr(foreign_files, "ARRAYS", 1 << 19)
    with pytest.raises(BadFile, match="it would unpack to more than 524,288 bytes"):
        read_arrays(file, ["a"])
    with pytest.raises(BadFile, match="it is compressed"):
        refuse_packed(file)


@pytest.mark.parametrize(
    "header",
    [
        {"shape": (10**12,), "fortran_order": False, "descr": "<f8"},
        {"shape": (2**40, 2**40), "fortran_order": False, "descr": "<f8"},
        {"shape": (1,), "fortran_order": False, "descr": "|O"},
        {"shape": (-1,), "fortran_order": False, "descr": "<f8"},
    ],
)
def test_an_array_that_says_it_is_larger(header: dict[str, object], tmp_path: Path) -> None:
    lying(tmp_path / "file", header)
    with pytest.raises(BadFile):
        read_arrays(tmp_path / "file", ["a"])


def test_what_is_no_archive(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.savez(whole, b=np.zeros(3))
    for content in (b"", b"PK", whole.getvalue(), whole.getvalue()[:-30], b"\x93NUMPY"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(BadFile):
            read_arrays(tmp_path / "file", ["a"])


def test_who_opens_a_pipe_without_this_waits(tmp_path: Path) -> None:
    """The control."""
    os.mkfifo(tmp_path / "pipe")

    def stop(signum: int, frame: object) -> None:
        raise TimeoutError

    usual = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(TimeoutError):
            (tmp_path / "pipe").read_bytes()
    finally:
        signal.signal(signal.SIGALRM, usual)


def test_json_of_ours_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(json.dumps({"name": "剪", "value": [1, 2.5, None]}))
    assert read_json(tmp_path / "file", SMALL)["name"] == "剪"


# Files that read what is ours, or by a library that has asked here first.
READ_THEMSELVES = {
    "code.py",  # our own code
    "environment.py",  # the kernel's
    "command_line.py",  # the file of --out, a regular one, its first bytes
    "cli.py",  # the list of --exclude, likewise
    "page.py",  # our template
    "load_safetensors.py",  # a file that the user names
    "curves.py",  # appends
    "corruptions.py",  # a picture in memory
    "events.py",  # likewise
    "card.py",  # the lines for a reader
}


def test_who_else_reads_files() -> None:
    """In the rooms where files of strangers are read, nobody opens one in another way."""
    opens = re.compile(
        r"\.read_text\(|\.read_bytes\(|json\.loads?\(|np\.load\(|csv\.reader|(?<![\w_])open\("
    )
    rooms = [ROOT / "senet_train" / room for room in ("runs", "compare", "commands")]
    files = [file for room in rooms for file in room.rglob("*.py")]
    found = {file.name for file in files if opens.search(file.read_text())}
    assert found <= READ_THEMSELVES
    assert opens.search((ROOT / "senet_train/system/foreign_files.py").read_text())
