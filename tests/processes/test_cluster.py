"""Runs as jobs of a cluster: submitit's own processes, and a SLURM of two shell scripts.

A real SLURM is no part of the suite: docs/guide/clusters.md says what was tried on one.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import TINY, Senet, run_folders

from senet_train.sweeps.launchers import cluster as cluster_launcher

PLAIN = [word for word in TINY if not word.startswith(("model", "ratio"))]
LINE = ("-m", *PLAIN, "model=resnet8,se_resnet8")
SLURM = "hydra/launcher=submitit_slurm"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`slurm("echo ...", "echo ...")`: what sbatch and squeue do."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    for pause in ("SQUEUE_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(cluster_launcher, pause, 0.0)

    def put(sbatch: str, squeue: str) -> None:
        for name, line in (("sbatch", sbatch), ("squeue", squeue), ("srun", "false")):
            (folder / name).write_text(f"#!/bin/sh\n{line}\n")
            (folder / name).chmod(0o755)

    return put


@pytest.mark.slow  # 15 s, of two interpreters: test_working_folder.py starts a real job, too
def test_jobs_are_processes_with_ends_of_their_own(senet: Senet, tmp_path: Path) -> None:
    arms = 'arms=[["attention=none"],["optim.lr=1e20"]]'
    words = ("model=resnet8", "trainer.max_epochs=1", "hydra/launcher=submitit_local", arms)
    result = senet(*PLAIN, *words)
    assert result.code == 1
    assert "finished 1 of 2 runs" in result.out
    assert "did not finish: resnet8-" in result.err
    assert "  error: the loss is " in result.err
    assert result.err.count(": done\n") == result.err.count(": exit 1\n") == 1
    assert {folder.name for folder in tmp_path.iterdir()} == {"outputs"}
    logs = [file.read_text() for file in tmp_path.glob("outputs/.submitit/*/*_log.err")]
    assert sum("epoch 1/1: " in text for text in logs) == 1


def test_what_sbatch_is_asked(senet: Senet, slurm: Callable[[str, str], None]) -> None:
    """Two jobs that SLURM forgets without a result: the sweep ends, and says so."""
    slurm("cat $1 > asked.sh; echo Submitted batch job 7", "true")
    more = "+hydra.launcher.additional_parameters.mail-type=END"
    result = senet(*LINE, SLURM, "hydra.launcher.partition=short", "hydra.launcher.mem_gb=4", more)
    assert result.code == 1
    assert "2 jobs, from 7_0 to 7_1" in result.err
    assert result.err.count("ended without a result") == 2
    assert result.err.count("(waiting)") == 2
    asked = Path("asked.sh").read_text().splitlines()
    for flag in (
        *("array=0-1%2", "partition=short", "mem=4GB", "time=60", "cpus-per-task=1"),
        *("signal=USR2@120", "requeue", "mail-type=END", "open-mode=append"),
    ):
        assert f"#SBATCH --{flag}" in asked
    assert asked.index("export PYTHONSAFEPATH=1") < asked.index("# command")
    assert not [line for line in asked if "auto" in line or "gpus" in line or "account" in line]


def test_a_job_that_slurm_knows_is_waited_for(
    senet: Senet, slurm: Callable[[str, str], None]
) -> None:
    """squeue first fails, then lists one job, then none."""
    squeue = "echo >> asked; n=$(wc -l < asked); [ $n -gt 2 ] || exit 1; [ $n -gt 5 ] || echo 7_1"
    slurm("echo Submitted batch job 7", squeue)
    result = senet(*LINE, SLURM)
    assert Path("asked").read_text().count("\n") == 7  # 7_0 is missed at 3 and 4, 7_1 at 6 and 7
    assert result.err.index("job 7_0, ") < result.err.index("job 7_1, ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra.launcher.nodes=2"], "hydra.launcher.nodes=2: must be 1"),
        (["hydra.launcher.timeout_min=abc"], "hydra.launcher.timeout_min=abc: must be a valid int"),
        (["hydra.launcher.mem_gb=-1"], "hydra.launcher.mem_gb=-1: must be"),
        (["hydra.launcher.partitoin=a"], "there is no key hydra.launcher.partitoin"),
        (["+hydra.launcher.gpus=1"], "there is no key hydra.launcher.gpus"),
        ([], "the cluster does not take the jobs: sbatch: error: Invalid partition name"),
    ],
)
def test_what_is_refused_leaves_nothing(
    senet: Senet,
    slurm: Callable[[str, str], None],
    tmp_path: Path,
    words: list[str],
    message: str,
) -> None:
    slurm("echo sbatch: error: Invalid partition name >&2; exit 1", "true")
    result = senet(*LINE, SLURM, *words)
    assert result.code == 2
    assert f"error: {message}" in result.err
    assert "Error in call to target" not in result.err
    assert [folder.name for folder in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ("submitit_slurm", "finds no sbatch: start it on a node of the cluster"),
        ("submitit_local", "needs submitit: install the extra slurm"),
    ],
)
def test_what_is_not_there(
    senet: Senet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, launcher: str, message: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if launcher == "submitit_local":
        monkeypatch.setattr(cluster_launcher.importlib.util, "find_spec", lambda name: None)
    result = senet(*LINE, f"hydra/launcher={launcher}")
    assert result.code == 2
    assert f"error: hydra/launcher={launcher} {message}" in result.err
    assert run_folders(tmp_path) == []


def test_a_dry_run_asks_no_cluster(senet: Senet, slurm: Callable[[str, str], None]) -> None:
    slurm("touch asked", "touch asked")
    assert senet(*LINE, SLURM, "dry_run=true").code == 0
    assert not Path("asked").exists()
