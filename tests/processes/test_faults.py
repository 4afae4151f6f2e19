"""Disks, clocks, workers, random kills: nothing is lost, and nothing lies."""

import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes.dying import (
    AFTER_STEP,
    FLUSHING,
    KILL,
    MAKING_A_FILE,
    PROVING,
    SAVING,
    STEP,
    VALIDATION,
    run,
)
from processes.outcome import EVERY_STEP, LINE, equal, said, state_of, write_tree
from support import Senet, run_folders, status_of

from senet_train.runs import folder as run_folder
from senet_train.runs.record import read_record


@pytest.mark.slow
def test_twenty_kills_at_random(tmp_path: Path) -> None:
    """In steps, validations, while saving, flushing, renaming: the same bits in the end."""
    line = (*LINE, EVERY_STEP, "trainer.max_epochs=40")
    (tmp_path / "whole").mkdir()
    assert run(tmp_path / "whole", line) == 0
    cut = tmp_path / "cut"
    cut.mkdir()
    rng = random.Random(0)
    places = (STEP, AFTER_STEP, VALIDATION, SAVING, PROVING, FLUSHING, "os:replace")
    for _ in range(20):
        assert run(cut, line, (rng.choice(places), rng.randrange(1, 8)), KILL) == -KILL
    assert run(cut, line) == 0
    assert said(cut).count("going on after") >= 15
    assert equal(state_of(tmp_path / "whole"), state_of(cut))
    [folder] = run_folders(cut)
    assert not list(folder.rglob(".*"))  # what the kills left half written


@pytest.mark.parametrize(("name", "call"), [("ENOSPC", 2), ("ENOSPC", 5), ("EDQUOT", 9)])
def test_a_full_disk(whole: dict[str, Any], tmp_path: Path, name: str, call: int) -> None:
    """From some file on nothing can be written, the status neither: a line, and later goes on."""
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (FLUSHING, call), name) == 1
    last = said(tmp_path).splitlines()[-1]
    assert last.startswith("error: OSError: [Errno ")
    assert "keeps its old status" in said(tmp_path)
    assert (
        status_of(*run_folders(tmp_path))["state"] == "running"
    )  # by a process that is gone: unfinished
    [folder] = run_folders(tmp_path)
    assert not (folder / "result.json").exists()
    assert run(tmp_path, line) == 0
    assert equal(whole, state_of(tmp_path))


def test_a_folder_that_becomes_read_only(whole: dict[str, Any], tmp_path: Path) -> None:
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (MAKING_A_FILE, 6), "EROFS") == 1
    assert "error: OSError: [Errno 30] Read-only file system" in said(tmp_path)
    assert run(tmp_path, line) == 0
    assert "going on after" in said(tmp_path)
    assert equal(whole, state_of(tmp_path))


def test_too_little_room_is_seen_before_training(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        run_folder.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000, total=10**12)
    )
    result = senet(*LINE)
    assert result.code == 2
    assert "has 3 MB free and the run's checkpoints may take 5 MB" in result.err
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_are_beside_their_goal(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TMPDIR may be another file system, from which nothing can be renamed: it is not used."""
    elsewhere = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path / "tmp"
    before = set(os.listdir(elsewhere))
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (PROVING, 6), KILL, changed={"tempfile:gettempdir": nowhere}) == -9
    assert run(tmp_path, line, changed={"tempfile:gettempdir": nowhere}) == 0
    assert equal(whole, state_of(tmp_path))
    assert set(os.listdir(elsewhere)) == before


def nowhere(function: Callable[..., Any]) -> Callable[[], str]:
    return lambda: "/nowhere"


def test_a_truncated_record_is_no_result(senet: Senet, tmp_path: Path) -> None:
    assert senet(*LINE).code == 0
    [folder] = run_folders(tmp_path)
    record = folder / "result.json"
    record.write_bytes(record.read_bytes()[:-100])
    again = senet(*LINE)
    assert again.code == 2
    assert again.err.splitlines()[-1].startswith(f"error: {record.relative_to(tmp_path)}")
    assert senet(*LINE, "overwrite=true").code == 0
    assert read_record(record).seed == 0


def yesterday(function: Callable[..., Any]) -> Any:
    """In the place of `time.time` or the class `datetime`."""
    if function is time.time:
        return lambda: function() - 86400
    return type("Yesterday", (datetime,), {"now": staticmethod(a_day_ago)})


def a_day_ago(zone: Any = None) -> datetime:
    return datetime.now(zone) - timedelta(days=1)


def test_the_clock_is_put_back(whole: dict[str, Any], tmp_path: Path) -> None:
    """Between the two halves of a run: no row, no second is lost or negative."""
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (STEP, 8), KILL) == -KILL
    clocks = (
        "time:time",
        "senet_train.training.make_record:datetime",
        "senet_train.runs.status:datetime",
    )
    assert run(tmp_path, line, changed=dict.fromkeys(clocks, yesterday)) == 0
    assert equal(whole, state_of(tmp_path))
    [folder] = run_folders(tmp_path)
    record = read_record(folder / "result.json")
    assert datetime.fromisoformat(record.finished) < datetime.now(UTC) - timedelta(hours=20)
    assert 0 < record.cost.seconds < 300


def test_threads_are_those_of_the_first_half(whole: dict[str, Any], tmp_path: Path) -> None:
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (STEP, 8), KILL) == -KILL
    assert run(tmp_path, line, threads=2) == 0
    assert "going on after 1 epoch and 2 batches, with 1 thread as before" in said(tmp_path)
    state = state_of(tmp_path)
    assert state["record"]["environment"]["threads"] == 1
    assert equal(whole, state)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """A run that reads files by two workers."""
    write_tree(tmp_path / "tree", num_images=12, side=8)
    return (
        *(word for word in LINE if not word.startswith(("data=", "data.num", "data.batch"))),
        "data=imagenet_subset",
        f"data.root={tmp_path / 'tree'}",
        "data.crop=pad",
        "data.cache=stream",
        "data.batch_size=4",
        "data.workers=2",
    )


LOAD = "senet_train.data.file_reader:FilesOnRequest.__getitem__"


def sleeping(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """The function, one of whose calls never comes back."""
    calls = iter(range(1_000_000))

    def wrapped(*arguments: Any) -> Any:
        if next(calls) == call:
            time.sleep(10_000)
        return function(*arguments)

    return wrapped


def two_seconds(value: int) -> int:
    return 2


def processes_in(folder: Path) -> list[str]:
    """Those that work there, where the system tells it."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # ended meanwhile
            found += [str(link)] if link.resolve() == folder else []
    return found


def test_a_killed_worker_is_named(files: tuple[str, ...], tmp_path: Path) -> None:
    assert run(tmp_path, files, (LOAD, 6), KILL) == 1
    last = said(tmp_path).splitlines()[-1]
    assert last == (
        "error: a data worker died, perhaps killed as memory ran out: "
        "choose less than data.workers=2, or 0"
    )
    assert status_of(*run_folders(tmp_path))["state"] == "failed"


def test_a_hanging_worker_is_not_waited_for(files: tuple[str, ...], tmp_path: Path) -> None:
    start = time.monotonic()
    changed = {
        LOAD: partial(sleeping, call=6),
        "senet_train.data.file_reader:WORKER_TIMEOUT_SECONDS": two_seconds,
    }
    assert run(tmp_path, files, changed=changed) == 1
    assert time.monotonic() - start < 60
    last = said(tmp_path).splitlines()[-1]
    assert last.startswith("error: no batch came from 2 data workers in 2 s: is the file system ")
    assert status_of(*run_folders(tmp_path))["state"] == "failed"
    assert not processes_in(tmp_path)
    shutil.rmtree(tmp_path / "outputs")
    assert run(tmp_path, files) == 0  # the same folder without the fault
