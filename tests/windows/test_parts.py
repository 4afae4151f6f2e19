"""What Windows wants otherwise, part by part: names, paths, renaming, links, encodings, ends."""

import errno
import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pretended
import pytest
from support import TINY, Senet, run_folders

from senet_train.errors import InputError
from senet_train.runs import place, status
from senet_train.sweeps.launchers import cluster
from senet_train.system import console, files, start
from senet_train.system.file_names import for_windows
from senet_train.system.regular_file import refuse_on_windows
from senet_train.system.signals import describe_end
from senet_train.training.distributed.collectives import store_of
from senet_train.training.distributed.world import STORE

FORBIDDEN = (
    *("con", "CON", "nul.txt", "aux.tar.gz", "com1", "LPT9.png", "prn ", "con .x", "com\xb2"),
    *("a.", "a ", "a. .", ".", "..", "a:b", "a<b>", 'a"', "a|b", "a?", "a*", "a\\b", "a/b", "a\n"),
    *("conin$", "CONOUT$.log", "aux."),
)
ALLOWED = (
    *("se_resnet18-r16-36a65738", "digits", "console", "con1", "com", "com10", "nulls", "a.b"),
    *(".aside", "a con", "x.con", "Katzen und Hunde", "\u732b", "a-b_c+d=e,f", "lpt"),
)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_name_gets_one_that_is_not(name: str) -> None:
    found = for_windows(name)
    assert found != name
    assert not pretended.FORBIDDEN.fullmatch(found)  # Microsoft's own rule, written anew
    assert "/" not in found
    assert for_windows(found) == found


@pytest.mark.parametrize("name", ALLOWED)
def test_any_other_name_stays(name: str) -> None:
    assert for_windows(name) == name
    assert not pretended.FORBIDDEN.fullmatch(name)


def test_a_path_that_would_be_too_long_is_refused(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "longest_path", lambda: 259)
    deep = "x" * (259 - len(str(tmp_path)))
    result = senet(*TINY, f"output_dir={deep}")
    assert result.code == 2
    assert re.search(r"files in .* would have paths of \d+ characters, and here they", result.err)
    assert "have 259: choose a shorter output_dir, or set LongPathsEnabled" in result.err
    assert list(tmp_path.iterdir()) == []


def test_no_file_of_a_run_has_a_longer_name_than_is_counted_with(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are written for a moment as well."""
    names: list[str] = []
    replace = os.replace

    def noting(source: Path, target: Path) -> None:
        names.extend((str(source), str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", noting)
    assert senet(*TINY).code == 0
    [folder] = run_folders(tmp_path)
    names += [str(path) for path in folder.rglob("*")]
    below = [len(name) - len(str(folder)) for name in names if name.startswith(str(folder))]
    assert 40 < max(below) <= place.BELOW


@pytest.mark.parametrize("winerror", [5, 32, None])
def test_a_file_that_somebody_reads_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, winerror: int | None
) -> None:
    """On Windows; elsewhere such an error is final, and is not waited for."""
    tries: list[Path] = []
    replace = os.replace

    def in_use(source: Path, target: Path) -> None:
        tries.append(source)
        if len(tries) < 4:
            error = PermissionError(errno.EACCES, "Access is denied", str(source))
            error.winerror = winerror  # type: ignore[attr-defined]
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", in_use)
    if winerror is None:
        with pytest.raises(PermissionError):
            files.write_text(tmp_path / "status.json", "new")
        assert len(tries) == 1
        assert list(tmp_path.iterdir()) == []
    else:
        files.write_text(tmp_path / "status.json", "new")
        assert (tmp_path / "status.json").read_text("utf-8") == "new"


def test_what_stays_in_use_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use(source: Path, target: Path) -> None:
        error = PermissionError(errno.EACCES, "Access is denied", str(source))
        error.winerror = 5  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(os, "replace", in_use)
    monkeypatch.setattr(files, "PAUSES", (0.0,))
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "status.json", "new")
    assert list(tmp_path.iterdir()) == []


def test_links_and_folders_are_no_files(tmp_path: Path) -> None:
    """Where a file cannot be opened without following a link; the errors are those of Linux."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    refuse_on_windows(tmp_path / "file")
    refuse_on_windows(tmp_path / "missing")
    with pytest.raises(OSError, match="Too many levels"):
        refuse_on_windows(tmp_path / "link")
    with pytest.raises(IsADirectoryError):
        refuse_on_windows(tmp_path)


def test_a_reader_that_has_gone_is_seen_without_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    with open(theirs, "w", encoding="utf-8") as output:
        monkeypatch.setattr(sys, "stdout", output)
        print("a line")
        assert not console.what_is_printed_stays()
        os.close(ours)
        print("a line")
        assert console.what_is_printed_stays()
        os.dup2(os.open(os.devnull, os.O_WRONLY), theirs)  # it can be closed


def test_tables_leave_in_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a pipe: the encoding of a country knows no line of a table."""
    monkeypatch.setenv("PYTHONUTF8", "")
    monkeypatch.delenv("PYTHONUTF8")
    written = [io.BytesIO(), io.BytesIO()]
    for name, buffer in zip(("stdout", "stderr"), written, strict=True):
        stream = io.TextIOWrapper(buffer, "cp1252", write_through=True)
        monkeypatch.setattr(sys, name, stream)
        with pytest.raises(UnicodeEncodeError):  # the control
            stream.write("\u2503")
    start.print_utf_8()
    for stream in (sys.stdout, sys.stderr):
        stream.write("\u2503\ud800")  # a name there may hold half a character
    assert [buffer.getvalue() for buffer in written] == ["\u2503?".encode()] * 2
    assert os.environ["PYTHONUTF8"] == "1"  # for processes that it starts


def test_standard_error_says_which_half_of_a_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made anew after that, in the same encoding."""
    with (tmp_path / "errors").open("w", encoding="cp1252") as file:
        monkeypatch.setattr(sys, "stderr", file)
        start.print_utf_8()
        start.losing(file.fileno()).write("\u2503\ud800\n")
    assert (tmp_path / "errors").read_bytes() == "\u2503\\ud800\n".encode()


@pytest.mark.parametrize("launcher", [cluster.SubmititLocalLauncher, cluster.SlurmLauncher])
def test_there_are_no_jobs_of_a_cluster(
    launcher: type[cluster.SubmititLauncher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(InputError) as refused:
        launcher()
    assert str(refused.value) == (
        f"hydra/launcher=submitit_{launcher.cluster} is not for Windows, where submitit does not "
        "run: choose hydra/launcher=local"
    )


@pytest.mark.parametrize("name", ["C:\\Users\\a#b", "a?b"])
def test_processes_meet_at_a_file_of_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path is no URL: each of these would be cut."""
    assert urlsplit(f"file://{tmp_path / name}").path != str(tmp_path / name)
    monkeypatch.setenv(STORE, str(tmp_path / name))
    for key in ("first", "second"):
        store = store_of(2)
        assert store is not None
        store.set(key, "seen")
    assert store_of(2).get("first") == b"seen"  # type: ignore[union-attr]
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_crash_has_words() -> None:
    """An access violation: Windows has no signals to name."""
    assert describe_end(0xC0000005) == (
        "ended by Windows (0xC0000005): try trainer.channels_last=false"
    )
    assert describe_end(1) == "exit code 1"


def test_a_process_that_is_hidden_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another user, where /proc is mounted with hidepid: psutil does not see it."""
    denied = {7: PermissionError, 8: ProcessLookupError, 10**30: OverflowError}

    def kill(pid: int, signum: int) -> None:
        if pid in denied:
            raise denied[pid]

    monkeypatch.setattr(status, "state_of", lambda pid: None)
    monkeypatch.setattr(os, "kill", kill)
    assert [status.is_alive(pid) for pid in (7, 8, 10**30, 0, -1)] == [True, *[False] * 4]
