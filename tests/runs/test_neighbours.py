"""A neighbour's files: whatever they are, they end no run of mine, and nothing waits for them."""

import json
import os
import shutil
from pathlib import Path

import pytest
from support import TINY, Result, Senet, run_folders

from senet_train import load_run
from senet_train.compare.collect import collect
from senet_train.runs.status import count_running, is_alive, read_status, write_status

ALIVE = {"state": "running", "reason": "", "host": "here", "pid": 1, "since": ""}


def make_neighbours(data: Path) -> list[Path]:
    """Folders of runs beside mine, each with another status.json that is none."""
    contents = {
        "empty": b"",
        "brackets": b"[" * 100_000,
        "pid": json.dumps({**ALIVE, "pid": 10**400}).encode(),
        "below": json.dumps({**ALIVE, "pid": -1}).encode(),
        "state": json.dumps({**ALIVE, "state": "\x1b[31m"}).encode(),
        "large": b" " * (1 << 20),
        "not UTF-8": b"\xff\xfe",
    }
    folders = {name: data / f"arm-{name}" / "seed0" for name in contents}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "status.json").write_bytes(contents[name])
    special = {name: data / f"special-{name}" / "seed0" for name in ("folder", "pipe", "link")}
    for folder in special.values():
        folder.mkdir(parents=True)
    (special["folder"] / "status.json").mkdir()
    os.mkfifo(special["pipe"] / "status.json")
    (special["link"] / "status.json").symlink_to("/dev/zero")
    (data / "loop").symlink_to("loop")
    (data / "arm-loop").mkdir()
    (data / "arm-loop" / "seed0").symlink_to("seed0")
    return [*folders.values(), *special.values()]


def test_no_neighbour_fails_my_run(senet: Senet, tmp_path: Path) -> None:
    folders = make_neighbours(tmp_path / "outputs" / "fake")
    assert len(folders) == 10
    unreadable = [folder for folder in folders if read_status(folder) is None]
    assert len(unreadable) == 8  # all but the two with an odd number of a process
    result = senet(*TINY, "trainer.max_epochs=1")
    assert result.code == 0, result.err
    [mine] = [run for run in run_folders(tmp_path) if (run / "result.json").exists()]
    assert json.loads((mine / "result.json").read_text())["cost"]["concurrent_runs"] == 0


def test_a_neighbour_that_trains_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: among damaged ones, the one that can be read."""
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    make_neighbours(tmp_path / "fake")
    assert count_running(tmp_path, tmp_path / "none") == 0
    living = tmp_path / "fake" / "arm" / "seed0"
    living.mkdir(parents=True)
    (living / "status.json").write_text(json.dumps(ALIVE))
    assert count_running(tmp_path, tmp_path / "none") == 1


@pytest.mark.parametrize(
    "pid",
    [0, -1, -(10**400), 10**400, 2**31],
    ids=lambda pid: f"{pid:.1e}"[:9] if abs(pid) < 2**40 else "400 digits",
)
def test_no_process_has_such_a_number(pid: int) -> None:
    assert not is_alive(pid)
    assert is_alive(os.getpid())


def one_line(result: Result, words: str) -> None:
    assert result.code == 2
    assert words in result.err
    assert len(result.err.splitlines()) == 1


def test_a_damaged_identity_is_named(senet: Senet, tmp_path: Path) -> None:
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    [run] = run_folders(tmp_path)
    identity = run.parent / "identity.json"
    for content in ("", "{", "[]", "{}", "[" * 100_000, '"x"'):
        identity.write_text(content)
        one_line(senet(*TINY, "trainer.max_epochs=1"), "identity.json cannot be read (it ")
    identity.unlink()
    identity.mkdir()
    one_line(senet(*TINY, "trainer.max_epochs=1"), "identity.json cannot be read (it is no")
    shutil.rmtree(identity)
    assert senet(*TINY, "trainer.max_epochs=1").code == 0


def test_what_a_killed_writer_left_is_removed(senet: Senet, tmp_path: Path) -> None:
    """In the run's folder at once, beside it once it is old; what is no file is in nobody's way."""
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    [run] = run_folders(tmp_path)
    left = [run / ".a.tmp", run / "checkpoints" / ".b.tmp", run.parent / ".old.tmp"]
    for file in (*left, run.parent / ".fresh.tmp"):
        file.touch()
    os.utime(run.parent / ".old.tmp", (0, 0))
    (run / ".folder.tmp").mkdir()
    (run / "result.json").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    assert not [file for file in left if file.exists()]
    assert (run.parent / ".fresh.tmp").exists()


def test_the_longest_reason_can_be_read_again(tmp_path: Path) -> None:
    write_status(tmp_path, "failed", "\N{COLLISION SYMBOL}" * 100_000)
    status = read_status(tmp_path)
    assert status is not None
    assert status.state == "failed"


def test_a_pipe_in_the_place_of_a_checkpoint_is_not_waited_for(
    senet: Senet, tmp_path: Path
) -> None:
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    [run] = run_folders(tmp_path)
    (run / "result.json").unlink()
    write_status(run, "interrupted")
    (run / "checkpoints" / "last.ckpt").unlink()
    os.mkfifo(run / "checkpoints" / "last.ckpt")
    result = senet(*TINY, "trainer.max_epochs=1")
    assert result.code == 0
    assert "last.ckpt cannot be read, trying the one before it" in result.err
    assert (run / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("linked", ["outputs", "outputs/fake", "run"])
def test_a_linked_folder_is_followed(linked: str, senet: Senet, tmp_path: Path) -> None:
    """Of an output root on a larger disk, say: of a path only its end may be no link."""
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    [run] = run_folders(tmp_path)
    folder = run if linked == "run" else tmp_path / linked
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    result = senet(*TINY, "trainer.max_epochs=1")
    assert result.code == 0
    assert "found finished" in result.err
    assert len(collect([tmp_path / "outputs"])[0]) == 1
    assert load_run(run).record is not None
