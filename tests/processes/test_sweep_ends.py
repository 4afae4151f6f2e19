"""A sweep that is stopped leaves no process, at any moment, and whatever state its runs are in."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes.dying import SERVER, TERM
from processes.test_local_sweep import LONG, forked_by, working_in
from support import Command, wait_for

from senet_train.errors import Interrupted
from senet_train.sweeps.launchers import children
from senet_train.sweeps.launchers.children import Child, start, wait_or_kill, without_signals
from senet_train.system.signals import HANDLED, raise_on_signals
from senet_train.training.distributed import processes as several


def test_a_sweep_that_is_stopped_as_it_starts(command: Command, tmp_path: Path) -> None:
    """While the fork server imports torch: it went on, and so did the run that it was to start."""
    sweep = command(*LONG)
    wait_for(lambda: forked_by(sweep, tmp_path) != set())
    server = forked_by(sweep, tmp_path)
    sweep.send_signal(TERM)
    assert sweep.wait() == 128 + TERM
    assert {*working_in(tmp_path)} <= server  # no run, which would have ended itself later
    wait_for(lambda: working_in(tmp_path) == [], seconds=2)


def sleep_through_sigterm() -> None:
    """In a process: a run that hangs."""
    signal.signal(TERM, signal.SIG_IGN)
    signal.pause()


def test_a_run_that_does_not_end_is_killed(
    warm_fork_server: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(children, "STOP_SECONDS", 0.3)
    process = SERVER.Process(target=sleep_through_sigterm)
    process.start()
    stop = SERVER.Pipe()[1]
    wait_or_kill([Child(process, stop, 0, 0, "ratio=4", Path("output"))])
    process.join(5)
    assert process.exitcode == -signal.SIGKILL
    assert "ratio=4: killed, as it went on for 0 s" in caplog.text


def blocked() -> set[signal.Signals | int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_a_run_is_started_with_its_signals_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has a process group of its own, Ctrl-C would reach it twice, or before it is ready.

    Python unblocks SIGINT and SIGTERM as it starts the process that tracks resources.
    """
    seen: list[tuple[str, set[signal.Signals | int]]] = []
    tracker = SimpleNamespace(ensure_running=lambda: seen.append(("tracker", blocked())))
    process = SimpleNamespace(start=lambda: seen.append(("run", blocked())))
    monkeypatch.setattr(children, "resource_tracker", tracker)
    before = blocked()
    context = SimpleNamespace(Process=lambda **named: process, Pipe=SERVER.Pipe)
    start(context, [], 1, "", Path("output"))
    assert seen == [("tracker", before), ("run", before | set(HANDLED))]
    assert blocked() == before


def test_what_is_started_without_signals_inherits_it() -> None:
    """The control: the child of a block has them blocked, the child after it has not."""
    words = ["grep", "SigBlk", "/proc/self/status"]
    masks = []
    for block in (without_signals(), nullcontext()):
        with block:
            masks.append(int(subprocess.check_output(words).split()[1], 16))
    for signum in HANDLED:
        assert masks[0] >> (signum - 1) & 1
        assert not masks[1] >> (signum - 1) & 1


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes of a run: the first brings a signal to the command, and is stopped itself."""
    started: list[subprocess.Popen[bytes]] = []

    def start_process(*arguments: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE))
        if len(started) == 1:
            started[0].send_signal(signal.SIGSTOP)
            os.kill(os.getpid(), TERM)
        return started[-1]

    monkeypatch.setattr(several, "start_process", start_process)
    monkeypatch.setattr(several, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(several, "STOP_SECONDS", 5.0)
    return started


def test_the_processes_of_a_run_that_is_stopped_as_it_starts(
    sleepers: list[subprocess.Popen[bytes]],
) -> None:
    """None is left, and the first, which was stopped, gets the signal to save itself by."""
    with raise_on_signals(), pytest.raises(Interrupted, match="SIGTERM"):
        several.run_in_processes(2, [], 1)
    assert [process.returncode for process in sleepers] == [-TERM, -signal.SIGKILL]


def test_the_processes_of_a_run_talk_on_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else they listen on every network of the machine."""
    given: dict[str, str] = {}
    monkeypatch.setattr(several.subprocess, "Popen", lambda words, env, **named: given.update(env))
    several.start_process([], tmp_path / "store", 1, 2, 1)
    loopback = "lo" if sys.platform == "linux" else "lo0"
    assert given["GLOO_SOCKET_IFNAME"] == given["NCCL_SOCKET_IFNAME"] == loopback
