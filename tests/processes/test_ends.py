"""How a run ends, whatever comes between: its status and its exit code tell the truth."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from processes.dying import INT, STEP, TERM, ending, run
from processes.outcome import LINE, equal, said, state_of
from support import run_folders, status_of

HUP = signal.SIGHUP
STATUS = "senet_train.runs.status:write_json"  # its first call says running, its second the end
RECORD = "senet_train.training.run:write_record"
POINTS = "tensorboard.summary.writer.record_writer:RecordWriter.write"
LOG = "logging:FileHandler._open"


def state(base: Path) -> str:
    return str(status_of(*run_folders(base))["state"])


def last_line(base: Path) -> str:
    return said(base).splitlines()[-1]


def twice(function: Callable[..., Any], call: int, by: int) -> Callable[..., Any]:
    """The signal two times, at one call of the function."""
    return ending(ending(function, call, by), call, by)


@pytest.mark.parametrize("second", [TERM, INT, HUP])
def test_a_second_signal_while_the_status_is_written(tmp_path: Path, second: int) -> None:
    """SLURM sends two within milliseconds. The status must not say that the run still runs."""
    changed = {
        STEP: partial(ending, call=8, by=TERM),
        STATUS: partial(twice, call=1, by=second),
    }
    assert run(tmp_path, LINE, changed=changed) == 128 + TERM
    assert state(tmp_path) == "interrupted"
    assert last_line(tmp_path).startswith("stopped by SIGTERM: the same line again goes on with ")


@pytest.mark.parametrize("place", [RECORD, STATUS])
def test_a_signal_while_a_run_finishes(tmp_path: Path, place: str) -> None:
    """The record and the status are written whole, and then the command ends."""
    changed = {place: partial(twice, call=int(place == STATUS), by=TERM)}
    assert run(tmp_path, LINE, changed=changed) == 128 + TERM
    assert state(tmp_path) == "finished"
    assert last_line(tmp_path).endswith("seed0 has finished")
    assert run(tmp_path, LINE) == 0
    assert "found finished" in said(tmp_path)


def test_a_signal_while_a_failure_is_written(tmp_path: Path) -> None:
    changed = {STATUS: partial(twice, call=1, by=TERM)}
    assert run(tmp_path, (*LINE, "optim.lr=1e20"), changed=changed) == 128 + TERM
    assert state(tmp_path) == "diverged"
    assert "seed0 has diverged (Diverged: the loss is " in last_line(tmp_path)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_other_signals_save_the_run(whole: dict[str, Any], tmp_path: Path, name: str) -> None:
    """A terminal that is gone, a batch system before its limit, a limit of processor time."""
    signum = signal.Signals[name]
    assert run(tmp_path, LINE, (STEP, 8), signum) == 128 + signum
    assert state(tmp_path) == "interrupted"
    assert last_line(tmp_path).startswith(f"stopped by {name}: the same line again goes on with ")
    assert run(tmp_path, LINE) == 0
    assert "left interrupted: going on after 1 epoch and 3 batches" in said(tmp_path)
    assert equal(whole, state_of(tmp_path))


def under_nohup(function: Callable[..., Any]) -> Callable[..., Any]:
    """In a process that ignores SIGHUP from its start."""
    signal.signal(HUP, signal.SIG_IGN)
    return ending(function, call=8, by=HUP)


def test_nohup_is_obeyed(tmp_path: Path) -> None:
    assert run(tmp_path, LINE, changed={STEP: under_nohup}) == 0
    assert state(tmp_path) == "finished"


def failing_once(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """A disk that has no room at one call, and has some again later."""
    calls = iter(range(1_000_000))

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise OSError(28, "No space left on device")
        return function(*arguments, **named)

    return wrapped


@pytest.mark.parametrize("fault", ["once", "for good"])
def test_the_last_status_cannot_be_written(tmp_path: Path, fault: str) -> None:
    """The record is whole: the run has finished, and the same line finds it and says so."""
    failing = failing_once if fault == "once" else partial(ending, by="ENOSPC")
    assert run(tmp_path, LINE, changed={STATUS: partial(failing, call=1)}) == 0
    assert "has no status of its end ([Errno 28] No space left on device)" in said(tmp_path)
    assert state(tmp_path) == "running"
    assert run(tmp_path, LINE) == 0
    assert "found finished" in said(tmp_path)
    assert state(tmp_path) == "finished"


@pytest.mark.parametrize("call", [0, 6])
def test_no_room_for_the_event_file(tmp_path: Path, call: int) -> None:
    """Its thread printed a traceback beside the line."""
    assert run(tmp_path, LINE, changed={POINTS: partial(ending, call=call, by="ENOSPC")}) == 1
    assert state(tmp_path) == "failed"
    assert last_line(tmp_path) == "error: OSError: [Errno 28] No space left on device"
    assert "Traceback" not in said(tmp_path)
    assert "a thread was stopped by" in (run_folders(tmp_path)[0] / "run.log").read_text()


def test_a_signal_where_the_event_file_has_no_room(tmp_path: Path) -> None:
    """The error of a file that is closed does not take the place of the signal."""
    changed = {STEP: partial(ending, call=1, by=TERM), POINTS: partial(ending, call=3, by="ENOSPC")}
    assert run(tmp_path, LINE, changed=changed) == 128 + TERM
    assert state(tmp_path) == "interrupted"


def full(function: Callable[..., Any]) -> Callable[..., Any]:
    """A log file on a disk that is full from its first line on."""
    return lambda handler: open("/dev/full", "a")


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="the full disk of this test is Linux's /dev/full"
)
def test_no_room_for_the_log(tmp_path: Path) -> None:
    """Python printed a traceback for every line; a run needs no log."""
    assert run(tmp_path, LINE, changed={LOG: full}) == 0
    assert state(tmp_path) == "finished"
    assert "Logging error" not in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
