"""Runs made before the files were moved into rooms are what they were: found, read, identified.

Commit dff8ae7 made `identities_before.json` and `made_before.tar.xz`: a finished run and one that
SIGTERM interrupted, both SE-ResNet-20 of 4, 8 and 16 channels on digits. Their event files and
logs are left out.
"""

import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import Result, config

from senet_train import load_run
from senet_train.commands import compare
from senet_train.commands.inspect import cli as inspect
from senet_train.commands.predict import cli as predict
from senet_train.data.images import MemoryImages
from senet_train.runs.trained.forward import Forward
from senet_train.runs.trained.own_data import own_splits
from senet_train.training.plan import make_plan

HERE = Path(__file__).parent
BEFORE = json.loads((HERE / "identities_before.json").read_text())
MACHINE = ("trainer.precision=32", "trainer.kernel=composed", "trainer.accelerator=cpu")
LINE = ("model=se_resnet20", "model.channels=[4,8,16]", "ratio=4", *MACHINE[:2])
FINISHED = "outputs/digits/se_resnet20-r4-a489505d/seed0"


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before["line"])
def test_identities_have_not_moved(before: dict[str, str]) -> None:
    plan = make_plan(config(*before["line"].split(), *MACHINE))
    assert plan.identity.sha256 == before["sha256"]
    assert plan.identity.label == before["label"]


def test_the_identities_tell_runs_apart() -> None:
    assert len({before["sha256"] for before in BEFORE}) == len(BEFORE) == 14


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working folder in which both runs were made."""
    with tarfile.open(HERE / "made_before.tar.xz") as archive:
        # Python has the filter from 3.11.4 on, and 3.12 and 3.13 warn where it is not named.
        archive.extractall(
            tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file): sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(".lock")
    }


def test_a_finished_run_is_found(folder: Path, senet: Callable[..., Result]) -> None:
    before = contents(folder)
    result = senet(*LINE, "trainer.max_epochs=2")
    assert result.code == 0, result.err
    assert f"found finished: {FINISHED}" in result.err
    assert "it was made by other code" in result.err
    assert contents(folder) == before


def test_an_interrupted_run_is_refused(folder: Path, senet: Callable[..., Result]) -> None:
    before = contents(folder)
    result = senet(*LINE, "trainer.max_epochs=2000", "seed=1", "trainer.checkpoint_minutes=0")
    assert result.code == 2
    assert "code" in result.err
    assert "overwrite=true" in result.err
    assert contents(folder) == before


def test_a_finished_run_says_what_it_said(folder: Path) -> None:
    run = load_run(folder / FINISHED)
    assert run.record is not None
    images = own_splits(run).test
    assert isinstance(images, MemoryImages)
    said = Forward.of(run)(images.pixels).argmax(1)
    with np.load(folder / FINISHED / "predictions.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(said.numpy(), file["top5"][:, 0])


@pytest.mark.usefixtures("unrendered")
def test_it_is_inspected_predicted_with_and_collected(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # the table breaks a long path
    run, image = str(folder / FINISHED), Path("seven.png")
    Image.new("RGB", (8, 8), "white").save(image)
    assert inspect.main([run, "--no-knockout"]) == 0
    assert predict.main([run, str(image)]) == 0
    assert "seven.png" in capsys.readouterr().out
    arm = Path(FINISHED).parent.name
    assert compare.main([str(folder / "outputs"), "--baseline", arm]) == 2
    assert f"there is only the baseline {arm}" in capsys.readouterr().err  # so its record was read
