"""What keeps processes from handing over data is named before they are started."""

import multiprocessing.process
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import TINY, Senet, draw_tree

from senet_train.errors import InputError
from senet_train.system import handover


@pytest.fixture
def long_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As a workflow manager sets it, deep inside the job's own folder."""
    folder = tmp_path / "scratch" / "workflow" / ("job." + "0" * 60) / "attempt-1" / "tmp"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    own = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    before = own.pop("tempdir", None)  # where it has put sockets until now
    yield folder
    own["tempdir"] = before


def test_a_long_tmpdir(long_tmpdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"AF_UNIX path too long.*at most 60 characters, or choose x"
    ):
        handover.refuse_broken_sockets("x")


def test_a_short_one() -> None:
    """The control."""
    handover.refuse_broken_sockets("x")


def test_workers_are_not_started(long_tmpdir: Path, senet: Senet, tmp_path: Path) -> None:
    draw_tree(tmp_path / "tree")
    where = ("data=imagenet_subset", f"data.root={tmp_path / 'tree'}", "data.image_size=8")
    line = ("model=resnet8", *where, "data.batch_size=8", "trainer.max_epochs=1")
    result = senet(*line, "data.workers=2")
    assert (result.code, result.err.count("error: ")) == (2, 1)
    assert "or choose data.workers=0" in result.err
    assert senet(*line, "data.workers=0", "dry_run=true").code == 0


def test_a_sweep_is_not_started(long_tmpdir: Path, senet: Senet) -> None:
    result = senet("-m", *TINY, "seed=0,1", "hydra/launcher=local")
    assert result.code == 2
    assert "or choose hydra/launcher=basic" in result.err
    assert "Traceback" not in result.err


def test_little_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "SHARED_MEMORY", tmp_path)
    disk = SimpleNamespace(free=64_000_000)
    monkeypatch.setattr(handover.shutil, "disk_usage", lambda folder: disk)
    handover.refuse_little_shared_memory(64_000_000, "data.workers=0")
    with pytest.raises(InputError, match=r"64 MB free and data workers need 77 MB.*--shm-size"):
        handover.refuse_little_shared_memory(77_000_000, "data.workers=0")
