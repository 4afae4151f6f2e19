"""Data workers: kept from pass to pass, ended where nobody needs them, as many as cores."""

import dataclasses
import multiprocessing
import os
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest
import torch
from support import DATA, TINY, Senet, config, run_folders, write_image
from torch import Tensor

from senet_train.data import contents, file_reader, workers
from senet_train.data.file_reader import FileReader, Request
from senet_train.data.find import find_data
from senet_train.data.imagenet_subset import load_image
from senet_train.data.workers import auto_workers, num_workers
from senet_train.errors import RunError
from senet_train.system import handover

LOAD = partial(load_image, image_size=8, crop="resized")


@pytest.fixture
def batches(tmp_path: Path) -> list[list[Request]]:
    """Six batches of two files, each under a key of its own."""
    for i in range(12):
        write_image(tmp_path / f"{i}.png", i)
    asked: list[Request] = [(str(tmp_path / f"{i}.png"), ("crop", i)) for i in range(12)]
    return [asked[i : i + 2] for i in range(0, 12, 2)]


def pids() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def equal(read: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(read, expected, strict=True))


def test_workers_are_kept_from_pass_to_pass(batches: list[list[Request]]) -> None:
    alone = list(FileReader(LOAD).read(batches))
    reader = FileReader(LOAD, workers=2)
    with reader.kept():
        seen = []
        for asked, expected in (
            (batches, alone),
            (batches[:1], alone[:1]),
            (batches[::-1], alone[::-1]),
        ):
            assert equal(list(reader.read(asked)), expected)
            seen.append(pids())
        assert len(seen[0]) == 2
        assert seen == seen[:1] * 3
    assert pids() == set()
    # Negative control: without the block each pass has its own.
    started = []
    for _ in range(2):
        reading = reader.read(batches)
        next(reading)
        started.append(pids())
        assert len(list(reading)) == 5
        assert pids() == set()
    assert not started[0] & started[1]


def test_a_pass_that_is_left_takes_nothing_from_the_next(batches: list[list[Request]]) -> None:
    """As a signal leaves it: workers have read ahead, and those batches are let go."""
    alone = list(FileReader(LOAD).read(batches))
    reader = FileReader(LOAD, workers=2)
    with reader.kept():
        left = reader.read(batches)
        assert torch.equal(next(left), alone[0])
        before = pids()
        assert equal(list(reader.read(batches[2:4])), alone[2:4])
        assert pids() == before
        with pytest.raises(AssertionError, match="another pass has begun"):
            next(left)
        assert pids() == before  # what has ended is not the pass that is going on
        assert equal(list(reader.read(batches)), alone)
    assert pids() == set()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_ends_the_workers_alone(batches: list[list[Request]], workers: int) -> None:
    reader = FileReader(LOAD, workers)
    damaged = Path(batches[3][0][0])
    content = damaged.read_bytes()
    with reader.kept():
        damaged.write_bytes(content[:60])
        with pytest.raises(RunError, match=rf"^{damaged} cannot be read as an image"):
            list(reader.read(batches))
        assert pids() == set()
        damaged.write_bytes(content)
        assert len(list(reader.read(batches))) == 6
    assert pids() == set()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file for each data worker that was started."""
    folder = tmp_path / "started"
    folder.mkdir()
    before = file_reader.leave_signals_to_the_parent

    def note(worker: int) -> None:
        (folder / str(os.getpid())).touch()
        before(worker)

    monkeypatch.setattr(file_reader, "leave_signals_to_the_parent", note)
    return folder


def test_a_run_starts_its_workers_once(
    seen: tuple[Path, Path],
    senet: Senet,
    started: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For two epochs of training and validation and the test; before it, to look at test images.

    Another test may have had these images looked at.
    """
    nothing_known = tmp_path_factory.mktemp("kept")
    monkeypatch.setattr(contents, "cache_folder", lambda: nothing_known)
    line = [word for word in TINY if not word.startswith(("data.num", "data="))]
    line += ["data=imagenet_subset", f"data.root={seen[0]}", "data.cache=stream"]
    assert senet(*line, "data.workers=1").code == 0
    assert len(list(started.iterdir())) == 2
    assert pids() == set()
    assert len(run_folders(tmp_path)) == 1


def test_auto_is_one_a_core(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    auto_workers.cache_clear()
    monkeypatch.setattr(workers, "free_shared_memory", lambda: 10**12)
    data = dataclasses.replace(DATA, workers="auto", image_size=224, batch_size=128)
    for cores, expected in ((1, 1), (2, 2), (12, 12), (64, 16)):
        monkeypatch.setattr(torch, "get_num_threads", lambda cores=cores: cores)
        assert num_workers(data) == expected
    assert num_workers(dataclasses.replace(data, workers=3)) == 3
    assert caplog.messages == []
    auto_workers.cache_clear()


def test_auto_has_room_in_shared_memory(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """A container has 64 MB by default: a batch of 128 images of 224 px takes 19."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(handover.shutil, "disk_usage", lambda path: usage(64 * 2**20))
    monkeypatch.setattr(handover, "SHARED_MEMORY", Path("/"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    auto_workers.cache_clear()
    data = dataclasses.replace(DATA, workers="auto", image_size=224, batch_size=128)
    assert [num_workers(data) for _ in range(3)] == [1, 1, 1]
    [line] = caplog.messages
    assert line.startswith("data.workers=1 instead of 8: ")
    assert line.endswith(" has 67 MB free (docker run --shm-size=8g)")
    auto_workers.cache_clear()


def test_auto_is_none_where_there_are_no_files(seen: tuple[Path, Path]) -> None:
    for words, expected in (
        (("data=digits", "data.workers=auto"), 0),
        (("data=imagenet_subset", f"data.root={seen[0]}"), torch.get_num_threads()),
        (("data=imagenet_subset", f"data.root={seen[0]}", "data.workers=3"), 3),
    ):
        _, data = find_data(config(*words).data)
        assert data.workers == expected
