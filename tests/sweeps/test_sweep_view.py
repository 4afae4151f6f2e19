"""What a sweep shows of its runs, against folders written by hand."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from support import TINY, Senet

from senet_train.runs.curves import read_epochs
from senet_train.runs.folder import RunFolder
from senet_train.runs.metrics import Metrics
from senet_train.sweeps import view as sweep_view
from senet_train.sweeps.view import SweepProgress, clock, progress_of, progress_table

HEADER = "epoch,step,val_top1,seconds\n"


def plan(base: Path, seed: int, state: str = "", rows: str = "", overwrite: bool = False) -> Any:
    """A run of 5 epochs in that state, its metrics as given."""
    folder = RunFolder(base, "digits", "net-12345678", seed)
    if state:
        folder.path.mkdir(parents=True)
        folder.set_state(state)
        (folder.path / "metrics.csv").write_text(HEADER + rows)
        if state == "finished":
            (folder.path / "result.json").touch()
    trainer = SimpleNamespace(max_epochs=5, score="auto")
    config = SimpleNamespace(seed=seed, overwrite=overwrite, trainer=trainer)
    task = SimpleNamespace(learner=SimpleNamespace(kind=Metrics))
    identity = SimpleNamespace(label="net")
    return SimpleNamespace(identity=identity, config=config, folder=folder, task=task)


def test_the_chosen_score_is_shown(tmp_path: Path) -> None:
    """Its column is `val_score`; that of top-1 stands before it."""
    of_macro = plan(tmp_path, 0, "running", "")
    of_macro.config.trainer.score = "macro_f1"
    table = HEADER.replace("seconds", "seconds,val_score").rstrip("\n")
    values = {"val_top1": "0.9", "seconds": "1.0", "val_score": "0.25"}
    row = ",".join(values.get(name, "0") for name in table.split(","))
    (of_macro.folder.path / "metrics.csv").write_text(f"{table}\n{row}\n")
    assert progress_of(of_macro).line == "net seed 0: running, val macro-F1 0.2500"


def test_progress_of_a_run(tmp_path: Path) -> None:
    rows = "0,6,0.5,2.0\n1,12,0.75,4.0\n2,18,0.7,3.0\n"
    progress = progress_of(plan(tmp_path, 0, "running", rows))
    assert progress.cells == ("net", "0", "running", "3/5", "0.7500", "0:00:06")
    assert progress.line == "net seed 0: running, val top-1 0.7500"
    waiting = progress_of(plan(tmp_path, 1))
    assert waiting.cells == ("net", "1", "waiting", "0/5", "", "")
    assert waiting.line == "net seed 1: waiting"


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    assert read_epochs(tmp_path) == ()
    for rest in ("", "1", "1,12,", "1,12,0.7", "1,12,0.75,4.0"):
        file.write_text(f"{HEADER}0,6,0.5,2.0\n{rest}")
        assert read_epochs(tmp_path) == ((0.5, 2.0),)
    file.write_text(f"{HEADER}0,6,0.5,2.0\n1,12,0.75,4.0\n")
    assert read_epochs(tmp_path) == ((0.5, 2.0), (0.75, 4.0))


def test_running_without_a_process_is_killed(tmp_path: Path) -> None:
    run = plan(tmp_path, 0, "running")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    status = run.folder.path / "status.json"
    status.write_text(status.read_text().replace(str(os.getpid()), str(child.pid)))
    assert progress_of(run).state == "killed"


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(HEADER.encode() + b"\0\0\0\0\n")
    assert read_epochs(tmp_path) == ()


def test_what_is_to_be_overwritten_is_not_finished(tmp_path: Path) -> None:
    run = plan(tmp_path, 0, "finished", "0,6,0.5,2.0\n", overwrite=True)
    status = run.folder.path / "status.json"
    status.write_text(status.read_text().replace('"since": "20', '"since": "19'))
    assert [progress.state for progress in SweepProgress([run]).runs()] == ["waiting"]
    run.folder.set_state("finished")
    assert [progress.state for progress in SweepProgress([run]).runs()] == ["finished"]


def test_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the epochs of this sweep alone: the two that were there before took it no time."""
    now = [100.0]
    monkeypatch.setattr(sweep_view.time, "monotonic", lambda: now[0])
    runs = [plan(tmp_path, 0, "running", "0,6,0.5,2\n1,9,0.5,2\n"), plan(tmp_path, 1)]
    sweep = SweepProgress(runs)
    assert sweep.summary([progress_of(run) for run in runs]) == "0 of 2 finished"
    rows = "".join(f"{epoch},6,0.5,2\n" for epoch in range(4))
    (runs[0].folder.path / "metrics.csv").write_text(HEADER + rows)
    now[0] = 120.0  # 2 epochs in 20 s, 6 to do
    runs_progress = [progress_of(run) for run in runs]
    assert sweep.summary(runs_progress) == "0 of 2 finished, about 0:01:00 left"


def test_a_wait_in_the_queue_is_no_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(sweep_view.time, "monotonic", lambda: now[0])
    runs = [plan(tmp_path, 0), plan(tmp_path, 1), plan(tmp_path, 2, "finished", "0,6,0.5,2\n" * 5)]
    sweep = SweepProgress(runs)
    now[0] = 4000.0  # the jobs were queued until now
    assert sweep.summary(sweep.runs()) == "1 of 3 finished"
    runs[0] = plan(tmp_path, 0, "running", "0,6,0.5,2\n1,9,0.5,2\n")
    now[0] = 4020.0  # 2 epochs in 20 s, 8 to do
    assert sweep.summary(sweep.runs()) == "1 of 3 finished, about 0:01:20 left"
    now[0] = 4030.0  # and the clock is not put back once they train
    assert sweep.summary(sweep.runs()) == "1 of 3 finished, about 0:02:00 left"


def test_the_table_keeps_to_the_terminal(tmp_path: Path) -> None:
    states = ["finished", "finished", "failed", "", "running", "diverged", "", "finished"]
    runs = [plan(tmp_path, seed, state) for seed, state in enumerate(states)]
    console = Console(width=80, height=8)
    table = progress_table(SweepProgress(runs), console)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    assert len(lines) <= 8
    assert [line.split()[1:3] for line in lines[1:5]] == [
        ["0", "finished"],
        ["2", "failed"],
        ["4", "running"],
        ["5", "diverged"],
    ]
    assert "3 of 8 finished" in lines[-1]


def test_clock() -> None:
    assert [clock(s) for s in (0.4, 59.6, 3723, 90000)] == [
        "0:00:00",
        "0:01:00",
        "1:02:03",
        "1 day, 1:00:00",
    ]


def test_a_copy_without_its_record_has_not_finished(senet: Senet, tmp_path: Path) -> None:
    """It fails alone; the table and the last line say the same of it."""
    line = [*(w for w in TINY if not w.startswith("ratio")), "trainer.max_epochs=1"]
    line += ['arms=[["attention=none"],["attention=se","ratio=4"]]', "hydra/launcher=basic"]
    assert senet(*line).code == 0
    cut = next(tmp_path.glob("outputs/*/se_*/seed0/result.json"))
    cut.unlink()
    again = senet(*line)
    assert again.code == 1
    assert "result.json is missing: copy the run's folder again" in again.err
    assert "seed 0 (without record)" in again.err
    assert "finished 1 of 2 runs" in again.out
    assert "0 of 1" in again.out
