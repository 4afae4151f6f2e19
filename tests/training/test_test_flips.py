"""data.test_flips: validation, test and the small commands average an image and its mirror."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support import TINY, config, draw_tree, run_folders
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train import load_run
from senet_train.cli import main as train
from senet_train.commands.evaluate.cli import main as evaluate
from senet_train.commands.export.card import card
from senet_train.commands.inspect.report import recorded_top1
from senet_train.commands.inspect.session import RunInspection
from senet_train.commands.predict.cli import main as predict
from senet_train.networks.mirror import logits_of_test
from senet_train.runs.trained.load import Trained
from senet_train.runs.trained.own_data import own_splits
from senet_train.training.notices import announce
from senet_train.training.plan import make_plan


def words(tree: Path, *further: str) -> tuple[str, ...]:
    """A tiny run on the tree."""
    kept = [word for word in TINY if not word.startswith(("data.num", "data=", "trainer.max"))]
    data = ("data=imagenet_subset", f"data.root={tree}", "data.val_fraction=0.4")
    return (*kept, *data, "trainer.max_epochs=4", *further)


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tree, and a run that was tested with flips."""
    base = tmp_path_factory.mktemp("mirrored")
    draw_tree(base / "tree")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        assert train([*words(base / "tree"), "data.test_flips=horizontal"]) == 0
    [run] = run_folders(base)
    return base / "tree", run


def backwards(images: Tensor) -> Tensor:
    """Each image with its columns from right to left."""
    return torch.stack(images.unbind(-1)[::-1], -1)


def test_it_is_the_plain_mean_of_two_answers() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 6, 5))
    images = torch.randn(7, 3, 4, 6)
    mean = torch.stack([network(images), network(backwards(images))]).mean(0)
    found = logits_of_test(network, images, "horizontal")
    torch.testing.assert_close(found, mean, rtol=1e-6, atol=1e-6)
    assert torch.equal(logits_of_test(network, images, "none"), network(images))
    assert (found - network(images)).abs().max() > 0.1
    even = images + backwards(images)  # its own mirror
    torch.testing.assert_close(logits_of_test(network, even, "horizontal"), network(even))


def test_neighbours_in_the_batch_are_the_same_in_both_passes() -> None:
    """Of a network that takes from the image before, as the control `shuffled` does."""

    def network(images: Tensor) -> Tensor:
        return images.roll(1, 0).flatten(1)[:, :2]

    images = torch.randn(3, 3, 2, 2)
    found = logits_of_test(network, images, "horizontal")
    for i in range(3):
        torch.testing.assert_close(found[i], images[i - 1, 0, 0].mean().expand(2))


def losses_of(run: Trained, answer: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """The loss over the validation and the test images of a run, by our own arithmetic."""
    splits = own_splits(run)
    losses = []
    for part in (splits.validation, splits.test):
        [pixels] = part.read([torch.arange(len(part.labels))])
        logits = answer(run.preprocess.normalise(pixels))
        losses.append(float(F.cross_entropy(logits, part.labels)))
    return losses[0], losses[1]


def test_validation_and_test_have_the_mean(mirrored: tuple[Path, Path]) -> None:
    run = load_run(mirrored[1])
    assert run.record is not None
    row = json.loads((mirrored[1] / "result.json").read_text())["metrics"]
    recorded = (row["val_loss"], row["test_loss"])
    with torch.inference_mode():
        mean = losses_of(run, lambda x: (run.model(x) + run.model(backwards(x))) / 2)
        alone = losses_of(run, run.model)
    assert recorded == pytest.approx(mean, rel=1e-5)
    for one_pass, said in zip(alone, recorded, strict=True):
        assert abs(one_pass - said) > 1e-3 * said  # or the line above says nothing


def test_the_small_commands_answer_as_the_test_did(
    mirrored: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree, run = mirrored
    monkeypatch.chdir(tmp_path)
    assert evaluate([str(run), "--out", "own"]) == 0
    said = capsys.readouterr().out
    assert "27 images, float32, each with its mirror" in said
    assert "0 of 27 images apart" in said
    found = json.loads(Path("own/evaluation.json").read_text())
    recorded = json.loads((run / "result.json").read_text())["metrics"]
    assert found["test_flips"] == "horizontal"
    assert found["score"]["loss"]["value"] == pytest.approx(recorded["test_loss"], rel=1e-5)
    assert predict([str(run), str(tree / "val"), "--out", "said.json"]) == 0
    said_by = {row["file"]: row["classes"][0] for row in json.loads(Path("said.json").read_text())}
    with np.load(run / "predictions.npz") as file:
        for name, chance in zip(file["image_id"], file["probability_first"], strict=True):
            assert said_by[str(tree / name)]["probability"] == pytest.approx(
                float(chance), abs=1e-3
            )


def test_the_card_says_that_the_file_sees_one_image(mirrored: tuple[Path, Path]) -> None:
    run = load_run(mirrored[1])
    said = "these scores are of the mean of the logits of each image and of its mirror"
    assert said in card(run, "", [])
    data = dataclasses.replace(run.config.data, test_flips="none")
    plain = dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))
    assert said not in card(plain, "", [])


def test_an_inspection_says_that_it_sees_no_mirror(mirrored: tuple[Path, Path]) -> None:
    run = load_run(mirrored[1])
    seen = RunInspection(run, "test", None, None, [], [], [], [])
    assert recorded_top1(seen).endswith("when it was trained, in 32, with mirrors)")


def test_it_is_in_the_identity_and_not_in_the_cost(mirrored: tuple[Path, Path]) -> None:
    tree = mirrored[0]
    usual, same, flipped = (
        make_plan(config(*words(tree, *further)))
        for further in ((), ("data.test_flips=none",), ("data.test_flips=horizontal",))
    )
    assert usual.identity == same.identity != flipped.identity
    assert "test_flips" not in usual.identity.content["data"]
    assert flipped.identity.content["data"]["test_flips"] == "horizontal"
    assert usual.cost == flipped.cost


@pytest.mark.parametrize("flip", [True, False])
def test_a_mirror_that_training_never_saw_is_pointed_out(
    mirrored: tuple[Path, Path], caplog: pytest.LogCaptureFixture, *, flip: bool
) -> None:
    settings = ("data.test_flips=horizontal", f"data.flip={str(flip).lower()}")
    with caplog.at_level("WARNING", "senet_train"):
        announce(make_plan(config(*words(mirrored[0], *settings))))
    assert ("no image is mirrored in training" in caplog.text) != flip
