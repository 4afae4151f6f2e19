"""Whether a run whose status says `running` runs: its number may be another process's by now."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import wait_for

from senet_train.compare.collect import reason_of
from senet_train.runs.folder import RunFolder
from senet_train.runs.identity import Identity
from senet_train.runs.status import Status, count_running, is_alive, is_running
from senet_train.sweeps.view import state_of

IDENTITY = Identity({"model": "x"}, "ab" * 32, "x")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun just now."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def running_since(pid: int, seconds: float, heartbeat: float) -> Status:
    """Of a run that began, and last showed life, so many seconds ago."""
    now = datetime.now(UTC)
    times = [(now - timedelta(seconds=each)).isoformat() for each in (seconds, heartbeat)]
    return Status("running", "", socket.gethostname(), pid, *times)


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(),
    reason="only /proc says when a process began; elsewhere its number alone is looked at",
)
def test_a_number_that_another_process_has_now(sleeper: subprocess.Popen[bytes]) -> None:
    assert is_running(running_since(sleeper.pid, 0, 0))
    assert not is_running(running_since(sleeper.pid, 9000, 600))
    assert not is_running(running_since(sleeper.pid, 9000, 30))
    assert is_running(running_since(os.getppid(), 0, 0))  # has begun long before
    assert is_running(running_since(1, 9, 9))
    assert is_running(replace(running_since(sleeper.pid, 0, 0), heartbeat="soon"))  # unreadable


def test_other_hosts_and_other_states_do_not_run_here(sleeper: subprocess.Popen[bytes]) -> None:
    status = running_since(sleeper.pid, 0, 0)
    assert not is_running(replace(status, host="another"))
    assert not is_running(replace(status, state="finished"))


def test_a_process_that_has_ended_is_not_alive_till_its_parent_asks(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """In a container nobody may ever ask."""
    assert is_alive(sleeper.pid)
    sleeper.kill()
    wait_for(lambda: not is_alive(sleeper.pid), seconds=5)
    os.kill(sleeper.pid, 0)  # the number is still taken
    assert not is_running(running_since(sleeper.pid, 0, 0))


def test_commands_believe_no_number_that_was_given_away(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    run = RunFolder(tmp_path, "data", IDENTITY.arm, 1)
    run.begin(IDENTITY, keep=False)
    live, dead = (running_since(sleeper.pid, 9000, age) for age in (0, 600))
    for status, count, state, words in (
        (live, 1, "running", f"running, process {sleeper.pid}"),
        (dead, 0, "killed", f"left running by {sleeper.pid}; type its line again"),
    ):
        (run.path / "status.json").write_text(json.dumps(asdict(status)))
        assert count_running(tmp_path, but=tmp_path) == count
        assert state_of(status) == state
        assert reason_of(status, has_record=False) == words
