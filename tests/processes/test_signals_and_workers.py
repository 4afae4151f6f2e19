"""A signal in any phase of a run that reads files by workers: it saves itself and ends.

The command is a fresh interpreter: what hung was its exit, which a forked process of the tests
does not take.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes.outcome import write_tree
from support import ROOT, run_folders, status_of

PLACES = {
    "training": "senet_train.training.tasks.classification:ImageClassifier.training_step",
    "validation": "senet_train.training.tasks.classification:ImageClassifier.validation_step",
    "test": "senet_train.training.tasks.classification:ImageClassifier.test_step",
}
PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from functools import partial
from processes.dying import ending, replace
replace({place!r}, partial(ending, call=1, by={signum}))
from senet_train.cli import entry
sys.exit(entry())
"""
SECONDS = 90  # imports are most of it; what hung was still there after ten minutes


def interrupted(tmp_path: Path, phase: str, workers: int, signum: int) -> subprocess.Popen[str]:
    write_tree(tmp_path / "tree", num_images=12, side=8)
    words = (
        *("model=resnet8", "data=imagenet_subset", f"data.root={tmp_path / 'tree'}"),
        *("data.image_size=8", "data.batch_size=4", "data.cache=stream", "trainer.max_epochs=1"),
        *(f"data.workers={workers}", "data.val_fraction=0.4", "trainer.precision=32"),
    )
    program = PROGRAM.format(tests=str(ROOT / "tests"), place=PLACES[phase], signum=signum)
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def ends(tmp_path: Path, phase: str, workers: int, signum: int) -> None:
    process = interrupted(tmp_path, phase, workers, signum)
    try:
        _, printed = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 128 + signum, printed
    assert "stopped by" in printed
    [folder] = run_folders(tmp_path)
    assert status_of(folder)["state"] == "interrupted"


def test_in_validation_with_two_workers(tmp_path: Path) -> None:
    ends(tmp_path, "validation", 2, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("phase", PLACES)
def test_in_every_phase(tmp_path: Path, phase: str, workers: int, signum: int) -> None:
    ends(tmp_path, phase, workers, signum)
