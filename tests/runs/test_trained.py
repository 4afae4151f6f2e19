"""A run loaded again says what it said when it was tested, and its folder stays data."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import TINY, Result, run_folders

import senet_train
from senet_train import Placement, SqueezeExcite, insert, load_run
from senet_train.backbones.resnet import resnet18
from senet_train.data.loaders import EvaluationBatches
from senet_train.errors import InputError
from senet_train.runs.trained.own_data import own_splits


@pytest.fixture
def run_path(senet: Callable[..., Result], tmp_path: Path) -> Path:
    assert senet(*TINY).code == 0
    [folder] = run_folders(tmp_path)
    return folder


def test_a_loaded_run_says_what_its_test_said(run_path: Path) -> None:
    run = load_run(run_path)
    assert run.class_names == ("class0", "class1")
    assert run.label == "se_resnet8-r4"
    assert not run.model.training
    test = own_splits(run).test
    with np.load(run_path / "predictions.npz", allow_pickle=False) as file:
        first, probability = file["top5"][:, 0], file["probability_first"]
    for images, _, indices in EvaluationBatches(test, run.config.data):
        with torch.inference_mode():
            chances = run.model(images).softmax(1)
        assert chances.argmax(1).tolist() == first[indices].tolist()
        found = chances.amax(1).half().numpy()
        np.testing.assert_allclose(found, probability[indices], atol=1e-3)


def test_a_checkpoint_file_is_its_run(run_path: Path) -> None:
    by_file = load_run(run_path / "checkpoints" / "last.ckpt")
    by_folder = load_run(run_path, checkpoint="last.ckpt")
    for a, b in zip(by_file.model.parameters(), by_folder.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_arms_folder_is_its_only_run(run_path: Path, tmp_path: Path) -> None:
    """Every command that takes a run loads it here."""
    assert load_run(run_path.parent).path == run_path
    for seed in (10, 2):
        shutil.copytree(run_path, run_path.with_name(f"seed{seed}"))
    with pytest.raises(InputError, match="has several runs, seed0, seed2, seed10: give one of"):
        load_run(run_path.parent)
    with pytest.raises(InputError, match="is no run: give the folder"):
        load_run(tmp_path / "outputs")
    assert load_run(run_path).path == run_path


def test_preprocessing_is_what_the_run_was_tested_with(run_path: Path, tmp_path: Path) -> None:
    run = load_run(run_path)
    test = own_splits(run).test
    images, _, indices = next(iter(EvaluationBatches(test, run.config.data)))
    [pixels] = test.read([indices[:1]])
    Image.fromarray(pixels[0].numpy()).save(tmp_path / "one.png")
    assert torch.equal(run.preprocess(str(tmp_path / "one.png"))[0], images[0])
    large = Image.fromarray(pixels[0].numpy()).resize((16, 24))
    assert run.preprocess(large).shape == (1, 3, 8, 8)


def test_the_package_reads_like_the_paper() -> None:
    model = resnet18(10)
    slots = insert(model, partial(SqueezeExcite, ratio=16), Placement(stages=[3, 4]))
    assert [slot.name for slot in slots] == [
        f"layer{stage}.{block}.attend.standard" for stage in (3, 4) for block in (0, 1)
    ]
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    with pytest.raises(AttributeError, match="no attribute nothing"):
        senet_train.nothing  # noqa: B018
