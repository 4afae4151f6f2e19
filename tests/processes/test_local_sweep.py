"""The default launcher: what dies alone, what dies together, and the line that finishes it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Thread

import pytest
import torch
from pretended_cards import pretend_cards
from processes.dying import Forked
from support import TINY, Command, Senet, needs_compiler, run_folders, status_of, wait_for

from senet_train.networks.kernels import library
from senet_train.runs.status import is_alive
from senet_train.sweeps.launchers import local
from senet_train.sweeps.launchers.local import (
    MEMORY_A_RUN,
    PRELOADED,
    default_jobs,
    gpus_at,
    gpus_for,
)
from senet_train.system.resources import available_memory_bytes

LINE = (
    *(word for word in TINY if not word.startswith(("model", "ratio", "trainer.max_epochs"))),
    "model=resnet8",
    "hydra.launcher.jobs=2",
    'arms=[["attention=none"],["attention=se","ratio=4"]]',
    "seeds=2",
)
LONG = (*LINE, "trainer.max_epochs=16")


@pytest.fixture
def sweep(command: Command, tmp_path: Path) -> Forked:
    """A long sweep as a process of its own, under way."""
    process = command(*LONG)
    wait_for(lambda: len(saved(tmp_path)) == 2)
    return process


def saved(base: Path) -> list[Path]:
    """The run folders that hold a checkpoint."""
    return [file.parents[1] for file in base.glob("outputs/*/*/seed*/checkpoints/last.ckpt")]


def states(base: Path) -> list[object]:
    return [status_of(folder)["state"] for folder in run_folders(base)]


def test_a_failing_run_stops_no_other(senet: Senet, tmp_path: Path) -> None:
    arms = 'arms=[["attention=none"],["optim.lr=1e20"],["attention=se","ratio=4"]]'
    line = [word for word in LINE if not word.startswith("arms")]
    result = senet(*line, "trainer.max_epochs=1", arms)
    assert result.code == 1
    assert "finished 4 of 6 runs" in result.out
    assert result.err.count("(diverged)") == 2
    assert "  error: the loss is " in result.err
    assert "6 runs, 2 at once with " in result.err


def kill_one_of_two(base: Path) -> None:
    """Kill a run, as soon as two have saved something."""
    wait_for(lambda: len(saved(base)) == 2)
    os.kill(status_of(saved(base)[0])["pid"], signal.SIGKILL)


def test_a_killed_run_kills_no_other(senet: Senet, tmp_path: Path) -> None:
    killer = Thread(target=kill_one_of_two, args=(tmp_path,))
    killer.start()
    result = senet(*LONG)
    killer.join()
    assert result.code == 1
    assert "finished 3 of 4 runs" in result.out
    assert result.err.count("(killed)") == 1
    assert "killed by SIGKILL" in result.err
    assert "SIGKILL" in result.out  # in the table, whose cells may be of several lines
    again = senet(*LONG)
    assert again.code == 0, again.err
    assert again.err.count("found finished") == 3
    assert "an earlier try was left interrupted: going on after" in again.err


def working_in(folder: Path, words: str = "") -> list[int]:
    """The processes whose working folder it is, and whose command line has these words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or not ours
            there = (process / "cwd").readlink() == folder
            if there and words.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def forked_by(sweep: Forked, folder: Path) -> set[int]:
    """Its fork server, as soon as there is one, and its runs. The sweep itself was forked, too."""
    return {*working_in(folder, "from multiprocessing.forkserver import main")} - {sweep.pid}


def test_a_stopped_sweep_saves_its_runs(senet: Senet, sweep: Forked, tmp_path: Path) -> None:
    """A batch system signals to all: to the fork server too, which tells of every run's end.

    A run that was stopped is continued, or it would never save itself.
    """
    runs = [status_of(folder)["pid"] for folder in saved(tmp_path)]
    os.kill(runs[0], signal.SIGSTOP)
    [server] = forked_by(sweep, tmp_path) - set(runs)
    for signum in (signal.SIGHUP, signal.SIGTERM):
        os.kill(server, signum)
    time.sleep(0.2)
    assert is_alive(server)
    sweep.send_signal(signal.SIGTERM)
    _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 143
    assert "exit code" not in err  # 255 is that of a run whose fork server is gone
    assert re.fullmatch(
        "stopped by SIGTERM: [0-2] of 4 runs have finished, and the same line again goes on with "
        "the others",
        err.splitlines()[-1],
    )
    assert states(tmp_path) == ["interrupted"] * 2
    again = senet(*LONG)
    assert again.code == 0, again.err
    assert again.err.count("going on after") == 2
    assert states(tmp_path) == ["finished"] * 4


def test_a_killed_sweep_leaves_no_orphans(senet: Senet, sweep: Forked, tmp_path: Path) -> None:
    """Its runs notice, save themselves and end; the same line goes on with them."""
    sweep.kill()
    wait_for(lambda: states(tmp_path) == ["interrupted"] * 2, seconds=20)
    pids = [status_of(folder)["pid"] for folder in run_folders(tmp_path)]
    wait_for(lambda: not any(map(is_alive, pids)), seconds=20)
    again = senet(*LONG)
    assert again.code == 0, again.err
    assert again.err.count("going on after") == 2
    assert states(tmp_path) == ["finished"] * 4


def test_lines_where_there_is_no_terminal(senet: Senet, tmp_path: Path) -> None:
    result = senet(*LINE, "trainer.max_epochs=1")
    assert result.code == 0, result.err
    for label in ("resnet8", "se_resnet8-r4"):
        for seed in (0, 1):
            assert f"{label} seed {seed}: finished, val top-1 " in result.err
    assert "(4 of 4 finished)" in result.err


def test_places_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_jobs(0, 1, 1) == default_jobs(0, 2, 2) == default_jobs(1, 8, 2) == 1
    assert default_jobs(8, 2, 1) == 8
    assert default_jobs(8, 2, 2) == 4
    assert 1 <= default_jobs(0, 10**6, 1) <= available_memory_bytes() // MEMORY_A_RUN
    four = ["0", "1", "2", "3"]
    assert [gpus_at(place, four, 2) for place in (0, 1)] == ["0,1", "2,3"]
    assert [gpus_at(place, ["5", "GPU-a"], 1) for place in (0, 1, 2)] == ["5", "GPU-a", "5"]
    assert gpus_at(0, ["0"], 1) == gpus_at(0, [], 1) == gpus_at(0, four, 8) == ""  # no choice
    assert gpus_at(0, ["1"], 1) == "1"  # GPU 0 is too old


def test_runs_take_the_gpus_that_their_configuration_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine with GPUs too: accelerator=cpu is one run a core, not one a GPU."""
    pretend_cards(monkeypatch, (8, 6), (7, 0), (8, 6))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_for("auto") == gpus_for("gpu") == ["0", "2"]  # GPU 1 is too old
    assert gpus_for("cpu") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-b,7")
    assert gpus_for("auto") == ["4", "7"]
    pretend_cards(monkeypatch)
    assert gpus_for("auto") == []


class Started(Exception):
    """A launcher would start a process here."""


@pytest.mark.parametrize(
    ("accelerator", "cores", "line"),
    [
        ("auto", 16, "6 runs, 2 at once with 8 threads each"),
        ("gpu", 16, "6 runs, 2 at once with 8 threads each"),
        ("cpu", 4, "6 runs, 4 at once with 1 thread each"),
    ],
)
def test_how_many_runs_at_once_on_a_machine_with_gpus(
    accelerator: str,
    cores: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pretend_cards(monkeypatch, (8, 6), (8, 6))
    for name, value in (
        ("usable_cores", cores),
        ("usable_threads", cores),
        ("available_memory_bytes", 2**40),
    ):
        monkeypatch.setattr(local, name, lambda value=value: value)
    caplog.set_level("INFO")
    visible: list[str] = []

    def start(context: object, argv: object, threads: int, gpus: str, output: object) -> None:
        visible.append(gpus)
        assert isinstance(context, ForkServerContext)  # on GPUs too
        raise Started

    monkeypatch.setattr(local, "start", start)
    launcher = local.ProcessLauncher("auto")
    launcher.flags, launcher.accelerator, launcher.devices = [], accelerator, 1
    with pytest.raises(Started):
        launcher.launch([["seed=0", f"ratio={n}"] for n in range(6)], 0)
    assert caplog.messages == [line]
    assert visible == ["0" if accelerator != "cpu" else ""]


# A driver that notes every call, and says that there is no GPU.
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
extern "C" {
static int note(const char *call) {
    FILE *file = fopen(getenv("CALLS"), "a");
    fprintf(file, "%s\\n", call);
    fclose(file);
    return 100;
}
static int other(void) { return note("another"); }
int cuInit(unsigned flags) { return note("cuInit"); }
int cuDriverGetVersion(int *version) { note("cuDriverGetVersion"); *version = 13020; return 0; }
int cuGetProcAddress_v2(
    const char *name, void **function, int version, unsigned long long flags, int *status
) {
    *function = (void *)other;
    if (!strcmp(name, "cuInit")) *function = (void *)cuInit;
    if (!strcmp(name, "cuDriverGetVersion")) *function = (void *)cuDriverGetVersion;
    if (!strncmp(name, "cuGetProcAddress", 16)) *function = (void *)cuGetProcAddress_v2;
    if (status) *status = 0;
    return 0;
}
}
"""
LOADED_BY_THE_SERVER = f"""
import os, importlib
for name in {PRELOADED!r}:
    importlib.import_module(name)
import torch
assert not torch.cuda.is_initialized()
print(os.path.exists(os.environ["CALLS"]))
torch.cuda.is_available()
print(open(os.environ["CALLS"]).read().split())
"""


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(
    sys.platform != "linux" or torch.version.cuda is None,
    reason="the driver that counts calls is a library of Linux, for a PyTorch with CUDA",
)
def test_the_fork_server_makes_no_call_to_cuda(tmp_path: Path) -> None:
    """Else its processes could not use a GPU. Negative control: a look for GPUs does make calls."""
    (tmp_path / "driver.cpp").write_text(DRIVER)
    compiler = next(filter(None, map(shutil.which, library.COMPILERS)))
    command = [compiler, "-shared", "-fPIC", "driver.cpp"]
    subprocess.run([*command, "-o", "libcuda.so.1"], cwd=tmp_path, check=True)
    environment = {**os.environ, "CALLS": str(tmp_path / "calls"), "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_THE_SERVER],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    none_yet, calls = done.stdout.splitlines()
    assert none_yet == "False"
    assert "cuInit" in calls


@pytest.mark.parametrize("jobs", ["0", "-1", "many", "1.5"])
def test_bad_counts(senet: Senet, tmp_path: Path, jobs: str) -> None:
    result = senet(*LINE, f"hydra.launcher.jobs={jobs}")
    assert result.code == 2
    assert f"hydra.launcher.jobs={jobs}: choose auto, or a count from 1 on" in result.err
    assert list(tmp_path.iterdir()) == []
