"""The folder's states, the run set aside by an overwrite, the lock, the hash that clashes."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes.dying import run as train_elsewhere
from support import TINY, Senet, run_folders

from senet_train.errors import Diverged, HeldError, InputError
from senet_train.runs.folder import RunFolder
from senet_train.runs.identity import Identity
from senet_train.runs.place import refuse_clash
from senet_train.runs.status import count_running, read_status, renew_heartbeat
from senet_train.system import kernel_lock
from senet_train.system.files import write_atomic, write_json, write_text
from senet_train.system.lock import file_lock
from senet_train.training import launch, run

IDENTITY = Identity({"model": "x"}, "ab" * 32, "x")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "outputs", "data", IDENTITY.arm, 0)


def test_begin_and_states(folder: RunFolder) -> None:
    assert folder.begin(IDENTITY, keep=False) == ""
    assert not folder.finished
    status = read_status(folder.path)
    assert status is not None
    assert status.state == "running"
    folder.set_state("failed", "why")
    (folder.checkpoints / "last.ckpt").touch()
    folder.begin(IDENTITY, keep=True)
    assert (folder.checkpoints / "last.ckpt").exists()
    folder.begin(IDENTITY, keep=False)
    assert not (folder.checkpoints / "last.ckpt").exists()


def test_a_heartbeat_changes_nothing_else(folder: RunFolder) -> None:
    folder.begin(IDENTITY, keep=False)
    file = folder.path / "status.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps({**before, "heartbeat": "2001-01-01T00:00:00+00:00"}))
    renew_heartbeat(folder.path)
    after = json.loads(file.read_text())
    assert after["heartbeat"] >= before["heartbeat"]
    assert {**after, "heartbeat": 0} == {**before, "heartbeat": 0}
    folder.set_state("finished")
    finished = file.read_text()
    renew_heartbeat(folder.path)
    assert file.read_text() == finished


def test_a_finished_run_waits_aside_until_the_new_one_is_done(folder: RunFolder) -> None:
    folder.begin(IDENTITY, keep=False)
    (folder.path / "result.json").write_text("old")
    (folder.path / "events.out.tfevents.1").write_text("curves")
    folder.set_state("finished")
    assert "waits in" in folder.begin(IDENTITY, keep=False)
    assert (folder.aside / "result.json").read_text() == "old"
    assert not list(folder.output_dir.rglob("*tfevents*"))  # TensorBoard reads hidden folders
    # Killed here: the same line continues the new run and never sets a third aside.
    assert folder.begin(IDENTITY, keep=True) == ""
    assert (folder.aside / "result.json").read_text() == "old"
    folder.set_state("finished")
    folder.discard_aside()
    assert not (folder.output_dir / ".aside").exists()
    assert folder.finished


def test_discarding_keeps_what_others_set_aside(folder: RunFolder) -> None:
    other = RunFolder(folder.output_dir, folder.data, folder.arm, 1)
    for each in (folder, other):
        each.begin(IDENTITY, keep=False)
        each.set_state("finished")
        each.begin(IDENTITY, keep=False)
    folder.discard_aside()
    assert other.aside.is_dir()


def test_what_is_not_ours_stays(folder: RunFolder) -> None:
    """A user's notes survive every way to begin anew, and the end of the run that comes after."""
    folder.begin(IDENTITY, keep=False)
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "thoughts").mkdir()
    (folder.path / "metrics.csv").write_text("epoch")
    for state in ("finished", "interrupted", "failed"):
        folder.set_state(state)
        folder.begin(IDENTITY, keep=False)
        assert not (folder.path / "metrics.csv").exists()
        assert (folder.path / "notes.txt").read_text() == "mine"
        (folder.path / "metrics.csv").write_text("epoch")
    (folder.aside / "late.txt").write_text("put there while it waited")
    folder.set_state("finished")
    folder.discard_aside()
    assert {"notes.txt", "thoughts", "late.txt"} < {path.name for path in folder.path.iterdir()}
    assert not (folder.output_dir / ".aside").exists()


def test_a_record_is_a_finished_run(senet: Senet, tmp_path: Path) -> None:
    """status.json and the checkpoints are gone, result.json is whole: nothing is trained again."""
    senet(*TINY)
    [run] = run_folders(tmp_path)
    (run / "status.json").unlink()
    shutil.rmtree(run / "checkpoints")
    (run / "notes.txt").write_text("mine")
    record = (run / "result.json").read_bytes()
    again = senet(*TINY)
    assert (again.code, "found finished" in again.err) == (0, True)
    assert (run / "result.json").read_bytes() == record
    assert (run / "notes.txt").read_text() == "mine"
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def test_files_of_an_unfinished_run_are_set_aside(senet: Senet, tmp_path: Path) -> None:
    """Neither status nor a record that can be read: trained from zero, and nothing is deleted
    before that has finished."""
    senet(*TINY)
    [run] = run_folders(tmp_path)
    for name in ("status.json", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        (run / name).unlink()
    (run / "result.json").write_text('{"schema": 1')

    def aside_at_the_end(folder: RunFolder) -> None:
        assert (folder.aside / "result.json").read_text() == '{"schema": 1'
        assert (folder.aside / "predictions.npz").exists()
        discard(folder)

    discard = RunFolder.discard_aside
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "discard_aside", aside_at_the_end)
        result = senet(*TINY)
    assert result.code == 0
    assert "waits in" in result.err
    assert not (tmp_path / "outputs" / ".aside").exists()


def test_a_copy_under_another_seeds_name_is_not_believed(senet: Senet, tmp_path: Path) -> None:
    senet(*TINY)
    [run] = run_folders(tmp_path)
    shutil.copytree(run, run.with_name("seed7"))
    for words in ((*TINY, "seed=7"), (*TINY, "seed=7")):
        result = senet(*words)
        assert result.code == 2
        assert "result.json is of seed 0 of se_resnet8-r4-" in result.err
        assert "move the copy away" in result.err
    table = senet(*TINY, "seeds=[0,7]", "hydra/launcher=basic")
    assert (table.code, "result.json is of seed 0" in table.err) == (1, True)
    assert senet(*TINY, "seed=7", "overwrite=true").code == 0
    assert json.loads((run.with_name("seed7") / "result.json").read_text())["seed"] == 7


def test_a_run_folder_that_is_a_link(senet: Senet, tmp_path: Path) -> None:
    senet(*TINY)
    [run] = run_folders(tmp_path)
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere")
    assert "found finished" in senet(*TINY).err
    result = senet(*TINY, "overwrite=true")
    assert result.code == 2
    assert "is a link to" in result.err
    assert (tmp_path / "elsewhere" / "result.json").exists()


def test_overwrite_survives_a_failure(senet: Senet, tmp_path: Path, monkeypatch) -> None:
    """overwrite=true that dies keeps the old run aside; the same line then finishes the new one."""
    senet(*TINY)
    [run] = run_folders(tmp_path)
    old = (run / "result.json").read_text()

    def fail(*arguments: object) -> None:
        raise Diverged("as planned")

    with monkeypatch.context() as patch:
        patch.setattr("senet_train.training.make_record.fit_and_test", fail)
        assert senet(*TINY, "overwrite=true").code == 1
    aside = tmp_path / "outputs" / ".aside" / run.relative_to(tmp_path / "outputs")
    assert (aside / "result.json").read_text() == old
    assert run_folders(tmp_path) == [run]  # the one aside is invisible
    assert senet(*TINY, "overwrite=true").code == 0
    assert not aside.exists()
    assert (run / "result.json").exists()


def test_overwrite_cut_at_its_last_step(senet: Senet, tmp_path: Path, monkeypatch) -> None:
    """Finished, and killed before the old run was deleted: found, not run a third time."""
    senet(*TINY)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "discard_aside", lambda self: None)
        senet(*TINY, "overwrite=true")
    aside = tmp_path / "outputs" / ".aside"
    assert aside.exists()
    result = senet(*TINY, "overwrite=true")
    assert result.code == 0
    assert "found finished" in result.err
    assert not aside.exists()


def test_a_clash_of_short_hashes(folder: RunFolder) -> None:
    folder.begin(IDENTITY, keep=False)
    twin = Identity({"model": "y"}, IDENTITY.sha256[:8] + "0" * 56, "x")
    assert twin.arm == IDENTITY.arm
    before = sorted(folder.output_dir.rglob("*"))
    with pytest.raises(InputError, match="belongs to another configuration"):
        refuse_clash(RunFolder(folder.output_dir, "data", twin.arm, 5).identity_file, twin.sha256)
    assert sorted(folder.output_dir.rglob("*")) == before


def test_a_clash_is_no_finished_run(senet: Senet, tmp_path: Path) -> None:
    """Another arm's table must not be shown as this one's."""
    senet(*TINY)
    [run] = run_folders(tmp_path)
    file = run.parent / "identity.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "sha256": content["sha256"][:8] + "0" * 56}))
    result = senet(*TINY)
    assert result.code == 2
    assert "belongs to another configuration" in result.err


def test_lock(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from senet_train.system.lock import file_lock\n"
        "with file_lock(Path(sys.argv[1]), 'it'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    holder = subprocess.Popen(command, stdin=-1, stdout=-1)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(HeldError, match=f"it is held by process {holder.pid}"),
        file_lock(tmp_path / "lock", "it"),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with file_lock(tmp_path / "lock", "it"):  # freed by the kernel
        pass


@pytest.mark.parametrize("words", [(), ("trainer.devices=2",)])
def test_a_run_that_another_process_finishes_while_it_is_waited_for(
    senet: Senet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warm_fork_server: None,
    words: tuple[str, ...],
) -> None:
    """It is found finished under the lock, and not trained a second time."""
    line, before = (*TINY, "trainer.max_epochs=1", "trainer.kernel=composed"), []

    @contextmanager
    def lock_that_another_process_had(*arguments: Any, **named: Any) -> Iterator[None]:
        assert train_elsewhere(tmp_path, line) == 0
        before.extend(file.read_bytes() for file in tmp_path.glob("outputs/*/*/*/result.json"))
        yield

    monkeypatch.setattr(run, "run_lock", lock_that_another_process_had)
    monkeypatch.setattr(launch, "file_lock", lock_that_another_process_had)
    result = senet(*line, *words)
    assert result.code == 0
    assert "found finished" in result.err
    assert [file.read_bytes() for file in tmp_path.glob("outputs/*/*/*/result.json")] == before
    assert len(before) == 1


def test_counts_other_live_runs(folder: RunFolder) -> None:
    other = RunFolder(folder.output_dir, folder.data, folder.arm, 1)
    for each in (folder, other):
        each.begin(IDENTITY, keep=False)
    assert count_running(folder.output_dir, but=folder.path) == 0  # this very process
    status = json.loads((other.path / "status.json").read_text())
    (other.path / "status.json").write_text(json.dumps({**status, "pid": 1}))
    assert count_running(folder.output_dir, but=folder.path) == 1
    (other.path / "status.json").write_text(json.dumps({**status, "pid": 2**22 + 1}))
    assert count_running(folder.output_dir, but=folder.path) == 0  # dead


def test_atomic_write_keeps_the_old_on_failure(tmp_path: Path) -> None:
    file = tmp_path / "value.json"
    write_json(file, {"a": 1})

    def half(handle) -> None:
        handle.write(b"{")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(file, half)
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    """Lustre without flock, NFS without its lock daemon: the user is told, and may go on."""

    def refuse(file: object, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(kernel_lock.fcntl, "lockf", refuse)
    with file_lock(tmp_path / "lock", "outputs/x/seed0"):
        assert "process" in (tmp_path / "lock").read_text()
    assert f"of {tmp_path} has no locks ({os.strerror(code)})" in caplog.text
    assert "no two processes work on outputs/x/seed0 at once" in caplog.text


def test_another_error_of_a_lock_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(kernel_lock.fcntl, "lockf", refuse)
    with pytest.raises(OSError, match="Input/output error"), file_lock(tmp_path / "lock", "it"):
        pass


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_is_honoured(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "x", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode


def test_a_file_system_without_chmod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, refuse)
    write_text(tmp_path / "x", "x")
    assert (tmp_path / "x").read_text() == "x"


@pytest.mark.parametrize("words", [(), ("-m", "seed=0,1"), ("seeds=2",)])
def test_a_folder_that_cannot_be_written(
    senet: Senet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Refused once, before a run of a table starts. Root may write anywhere: an injected error."""

    def refuse(dir: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("senet_train.runs.place.tempfile.TemporaryFile", refuse)
    result = senet(*TINY, f"output_dir={tmp_path / 'a' / 'b'}", *words)
    assert result.code == 2
    [line] = [line for line in result.err.splitlines() if line.startswith("error: ")]
    said = f"{tmp_path} cannot be written (Permission denied): choose another output_dir"
    assert line == f"error: {said}"
    assert list(tmp_path.iterdir()) == []
