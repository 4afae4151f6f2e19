"""What we write follows no link, and what killed writers left is cleaned up, a live one's not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from senet_train.errors import InputError
from senet_train.runs.curves import append_row
from senet_train.system.files import (
    ABANDONED_SECONDS,
    cache_folder,
    hold,
    remove_abandoned,
    write_text,
)
from senet_train.system.lock import file_lock
from senet_train.training.ends import log_to_file


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    file = tmp_path / "precious"
    file.write_text("what must stay\n")
    return file


def unharmed(file: Path) -> bool:
    return file.read_text() == "what must stay\n"


def take(lock: Path) -> None:
    with file_lock(lock, "run"):
        pass


def test_a_lock_that_is_a_link_is_refused(precious: Path, tmp_path: Path) -> None:
    (tmp_path / ".seed0.lock").symlink_to(precious)
    with pytest.raises(InputError, match="is no lock, but a link or a device: remove it"):
        take(tmp_path / ".seed0.lock")
    assert unharmed(precious)


def test_a_lock_that_is_another_file_by_a_hard_link_is_refused(
    precious: Path, tmp_path: Path
) -> None:
    os.link(precious, tmp_path / ".seed0.lock")
    with pytest.raises(InputError, match="is no lock: it holds something else"):
        take(tmp_path / ".seed0.lock")
    assert unharmed(precious)


def test_a_lock_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".seed0.lock")
    with pytest.raises(InputError, match="is no lock, but a link or a device"):
        take(tmp_path / ".seed0.lock")


def test_a_lock_is_taken_again(tmp_path: Path) -> None:
    """The control: a lock's own line is known, and by a hard link of a backup it is one too."""
    for _ in range(2):
        with file_lock(tmp_path / ".seed0.lock", "run"):
            pass
    os.link(tmp_path / ".seed0.lock", tmp_path / "backup")
    take(tmp_path / ".seed0.lock")
    for left in (b"proc", bytes(30), b""):  # by a power cut
        (tmp_path / ".seed0.lock").write_bytes(left)
        take(tmp_path / ".seed0.lock")
    with file_lock(tmp_path / ".seed0.lock", "run"):
        pass


def test_nothing_is_appended_to_what_a_link_leads_to(precious: Path, tmp_path: Path) -> None:
    for name in ("metrics.csv", "run.log"):
        (tmp_path / name).symlink_to(precious)
    with pytest.raises(OSError, match="Too many levels"):
        append_row(tmp_path, {"epoch": 0}, header=True)
    with pytest.raises(OSError, match="Too many levels"), log_to_file(tmp_path / "run.log"):
        pass
    assert unharmed(precious)


def test_a_file_that_is_written_anew_replaces_a_link(precious: Path, tmp_path: Path) -> None:
    (tmp_path / "status.json").symlink_to(precious)
    write_text(tmp_path / "status.json", "new")
    assert unharmed(precious)
    assert not (tmp_path / "status.json").is_symlink()


def age(file: Path) -> None:
    """As if nobody had written to it for longer than a writer may rest."""
    then = time.time() - 2 * ABANDONED_SECONDS
    os.utime(file, (then, then), follow_symlinks=False)


HOLDING = """
import sys, time
from pathlib import Path
from senet_train.system.files import hold
with open(sys.argv[1], "wb") as file:
    hold(file)
    print("held", flush=True)
    time.sleep(60)
"""


def test_only_what_nobody_writes_is_removed(precious: Path, tmp_path: Path) -> None:
    held, left, fresh = (tmp_path / f".{name}.0a.tmp" for name in ("held", "left", "fresh"))
    linked, folder = tmp_path / ".linked.0a.tmp", tmp_path / ".folder.0a.tmp"
    left.touch()
    fresh.touch()
    linked.symlink_to(precious)
    folder.mkdir()
    words = [sys.executable, "-c", HOLDING, str(held)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "held\n"
        for file in (held, left, linked, folder, precious):
            age(file)
        remove_abandoned(tmp_path)
        found = {file.name for file in tmp_path.glob(".*.tmp")}
        writer.kill()
    assert found == {file.name for file in (held, fresh, linked, folder)}
    remove_abandoned(tmp_path)  # its writer is dead
    assert not held.exists()
    assert unharmed(precious)


def test_a_writer_is_not_in_its_own_way(tmp_path: Path) -> None:
    with open(tmp_path / ".a.0.tmp", "xb") as file:
        hold(file)
        file.write(b"x")
    assert (tmp_path / ".a.0.tmp").read_bytes() == b"x"


def test_the_cache_folder_is_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    left, fresh = (cache_folder() / f".{name}.0a.tmp" for name in ("left", "fresh"))
    left.touch()
    fresh.touch()
    age(left)
    assert [file.name for file in cache_folder().iterdir()] == [fresh.name]
