"""What a job of a cluster does with the signals that a scheduler sends it, in real processes."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from processes.dying import SERVER, STEP, TERM, ending, replace, run
from processes.test_exact_resume import LINE, equal, said, state_of
from support import run_folders

USR2, QUEUED_AGAIN = signal.SIGUSR2, 55


def run_as_job(folder: Path, by: int, squeue: str) -> int:
    """The exit code of a job that gets a signal twice in its 9th step, as SLURM sends them.

    QUEUED_AGAIN if it called the handler that submitit had set; `squeue` is what squeue prints.
    """
    (folder / "bin").mkdir()
    (folder / "bin/squeue").write_text(f"#!/bin/sh\necho {squeue}\n")
    (folder / "bin/squeue").chmod(0o755)
    process = SERVER.Process(target=job, args=(folder, by))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the job hangs"
    return process.exitcode


def job(folder: Path, by: int) -> None:
    """What the forked process does: what submitit does on a node."""
    from senet_train.sweeps.launchers.cluster_job import ClusterJob

    multiprocessing.set_start_method("fork", force=True)
    os.chdir(folder)
    os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
    os.environ.update(SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="7")
    with open("output.txt", "ab", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    signal.signal(USR2, lambda *_: os._exit(QUEUED_AGAIN))
    signal.signal(TERM, signal.SIG_IGN)
    replace(STEP, lambda method: ending(ending(method, 8, by), 8, by))
    try:
        os._exit(ClusterJob((*LINE, "hydra.mode=RUN"), threads=1)()[0])
    except SystemExit as end:
        os._exit(int(end.code or 0))


@pytest.mark.parametrize(
    ("by", "squeue", "end"),
    [
        (USR2, "", QUEUED_AGAIN),  # the time limit is near
        (TERM, "RUNNING", QUEUED_AGAIN),  # preempted, with grace
        (TERM, "COMPLETING", 128 + TERM),  # cancelled, or queued again already
        (TERM, "", 128 + TERM),
    ],
)
def test_saved_before_it_is_queued_again(
    whole: dict[str, Any], tmp_path: Path, by: int, squeue: str, end: int
) -> None:
    """Whatever becomes of the job, the same line goes on from the step, to the same bits."""
    assert run_as_job(tmp_path, by, squeue) == end
    [folder] = run_folders(tmp_path)
    assert '"state": "interrupted"' in (folder / "status.json").read_text()
    assert run(tmp_path, LINE) == 0
    assert "left interrupted: going on after 1 epoch and 3 batches" in said(tmp_path)
    assert equal(whole, state_of(tmp_path))
