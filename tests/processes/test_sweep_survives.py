"""Twelve runs on digits, the sweep and a run of it killed twice: the same line finishes them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, run_folders, wait_for

from senet_train.runs.status import is_alive, read_status

LINE = (
    'arms=[["attention=none"],["attention=se","ratio=4"],["attention=eca"]]',
    "model=resnet8",
    "seeds=4",
    "trainer.max_epochs=3",
    "hydra.launcher.jobs=2",
)
STEPS_A_RUN = 3 * 20  # 1,294 images to train on, 64 a step
PATHS = (ROOT, ROOT / "senet_train/sweeps/_plugins", ROOT / "tests")


def start(base: Path) -> subprocess.Popen[bytes]:
    """The sweep, each training step counted."""
    with open(base / "output.txt", "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "processes.counting", str(base / "steps"), *LINE],
            cwd=base,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))},
            stdout=output,
            stderr=output,
        )


def steps(base: Path) -> int:
    file = base / "steps"
    return file.stat().st_size if file.exists() else 0


def alive(base: Path) -> list[int]:
    """The processes that train."""
    statuses = [status for f in run_folders(base) if (status := read_status(f))]
    return [s.pid for s in statuses if s.state == "running" and is_alive(s.pid)]


@pytest.mark.slow
def test_killed_twice_each(tmp_path: Path) -> None:
    for target in (100, 300):
        sweep = start(tmp_path)
        wait_for(lambda: steps(tmp_path) >= target and alive(tmp_path) != [])  # noqa: B023
        os.kill(alive(tmp_path)[0], signal.SIGKILL)
        wait_for(lambda: steps(tmp_path) >= target + 100)  # noqa: B023
        sweep.kill()
        sweep.wait()
        wait_for(lambda: not alive(tmp_path))
    assert start(tmp_path).wait() == 0, (tmp_path / "output.txt").read_text()
    states = [status.state for f in run_folders(tmp_path) if (status := read_status(f))]
    assert states == ["finished"] * 12
    needed, epoch = 12 * STEPS_A_RUN, STEPS_A_RUN // 3
    print(f"steps: {steps(tmp_path)} done, {needed} needed, 4 kills")
    assert needed <= steps(tmp_path) <= needed + 4 * epoch
