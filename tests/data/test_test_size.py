"""data.test_size and data.test_resize: validation and test see torchvision's resize and crop."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import DATA, TINY, Senet, config, draw_tree, open_tree, run_folders
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from senet_train.commands.evaluate.cli import main as evaluate
from senet_train.commands.predict.cli import main as predict
from senet_train.data.framing import MARGIN, framed
from senet_train.data.images import FileImages, Images
from senet_train.data.loaders import EvaluationBatches, TrainingBatches, load_splits
from senet_train.errors import InputError
from senet_train.training.checks import cost_at
from senet_train.training.plan import make_plan

SHAPES = [(41, 60), (60, 41), (33, 33), (21, 21), (144, 20), (20, 145), (101, 100)]
SEEN = dataclasses.replace(DATA, image_size=8, test_size=11, test_resize=14)


def theirs(picture: Image.Image, shorter: int, size: int) -> np.ndarray:
    """The usual evaluation transform, by torchvision."""
    scaled = F.resize(picture, [shorter], InterpolationMode.BILINEAR, antialias=True)
    return np.asarray(F.center_crop(scaled, [size, size]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("shorter", "size"), [(24, 21), (21, 21), (160, 144), (25, 20)])
def test_it_is_torchvisions_resize_and_centre_crop(
    shape: tuple[int, int], shorter: int, size: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    ours = np.asarray(framed(picture, size, "crop", MARGIN, shorter))
    np.testing.assert_array_equal(ours, theirs(picture, shorter, size))
    assert ours.shape == (size, size, 3)
    as_it_is = shape == (shorter, shorter) == (size, size)
    assert as_it_is != (ours != np.asarray(framed(picture, size, "crop", MARGIN))).any()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes") / "tree"
    draw_tree(folder)
    return folder


def pixels_of(images: Images, tree: Path) -> list[tuple[Tensor, np.ndarray]]:
    """Each image as it is seen without augmentation, and by torchvision from its file."""
    rows = torch.arange(len(images.labels))
    [seen] = images.read([rows])
    opened = [Image.open(tree / name).convert("RGB") for name in images.ids]
    return list(zip(seen, [theirs(picture, 14, 11) for picture in opened], strict=True))


@pytest.mark.parametrize("cache", ["memory", "stream"])
@pytest.mark.parametrize("crop", ["none", "resized"])
def test_validation_and_test_see_it_and_training_does_not(
    tree: Path, crop: str, cache: str
) -> None:
    if (crop, cache) == ("resized", "memory"):
        cache = "auto"
    data = dataclasses.replace(SEEN, crop=crop, cache=cache)
    source = open_tree(tree, crop=crop, test_size=11, test_resize=14)
    splits = load_splits(source, data)
    assert isinstance(splits.test, FileImages) == (cache != "memory")
    for part in (splits.validation, splits.test):
        for seen, expected in pixels_of(part, tree):
            np.testing.assert_array_equal(seen.numpy(), expected)
    batches = EvaluationBatches(splits.test, data)
    assert next(iter(batches))[0].shape == (7, 3, 11, 11)
    assert batches.no_images()[0].shape == (0, 3, 11, 11)
    before = dataclasses.replace(data, test_size="auto", test_resize="auto")
    untouched = load_splits(open_tree(tree, crop=crop), before).train
    trained, as_before = (
        [images for images, _, _ in TrainingBatches(part, data, seed=0, epoch=1)]
        for part in (splits.train, untouched)
    )
    assert trained[0].shape == (7, 3, 8, 8)
    assert all(map(torch.equal, trained, as_before))


def test_a_size_alone_keeps_the_usual_middle(tree: Path) -> None:
    """Of crop=resized 224 of 256 pixels, scaled to the other size."""
    source = open_tree(tree, crop="resized", test_size=11)
    _, test = source.load()
    [seen] = test.read([torch.arange(3)])
    for pixels, name in zip(seen, test.ids, strict=False):
        picture = Image.open(tree / name).convert("RGB")
        np.testing.assert_array_equal(pixels.numpy(), framed(picture, 11, "crop", 256 / 224))


def words(tree: Path, *further: str) -> tuple[str, ...]:
    """The smallest run on the tree."""
    kept = [word for word in TINY if not word.startswith(("data.num", "data=", "trainer.max"))]
    return (*kept, "data=imagenet_subset", f"data.root={tree}", "trainer.max_epochs=1", *further)


def test_it_is_in_the_identity_and_in_the_cost(tree: Path) -> None:
    usual, same, larger, cut = (
        make_plan(config(*words(tree, *further)))
        for further in (
            (),
            ("data.test_size=8",),
            ("data.test_size=11",),
            ("data.test_size=11", "data.test_resize=14"),
        )
    )
    assert usual.identity == same.identity
    assert len({plan.identity.sha256 for plan in (usual, larger, cut)}) == 3
    assert usual.identity.content["data"].keys().isdisjoint({"test_size", "test_resize"})
    trained_so = make_plan(config(*words(tree, "data.image_size=11")))
    assert larger.cost == cut.cost == trained_so.cost != usual.cost


def test_a_run_is_evaluated_and_predicts_as_it_was_tested(
    senet: Senet, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert senet(*words(tree, "data.test_size=11", "data.test_resize=14")).code == 0
    [run] = run_folders(tmp_path)
    assert evaluate([str(run), "--out", "own"]) == 0
    assert "0 of 27 images apart" in capsys.readouterr().out
    assert evaluate([str(run), str(tree / "val"), "--out", "folder"]) == 0
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    losses = []
    for folder in ("own", "folder"):
        score = json.loads(Path(folder, "evaluation.json").read_text())["score"]
        losses.append(score["loss"]["value"])
    assert losses == pytest.approx([metrics["test_loss"]] * 2, rel=1e-5)
    assert predict([str(run), str(tree / "val"), "--out", "said.json"]) == 0
    said = {row["file"]: row["classes"][0] for row in json.loads(Path("said.json").read_text())}
    with np.load(run / "predictions.npz") as file:
        for name, chance in zip(file["image_id"], file["probability_first"], strict=True):
            assert said[str(tree / name)]["probability"] == pytest.approx(float(chance), abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "data.test_size=0",
            "data.test_size=0: give a number from 1 on, the side of square images",
        ),
        (
            "data.test_size=[11]",
            "data.test_size=[11]: give a number from 1 on, the side of square images, or",
        ),
        ("data.test_size=[11,12] data.test_resize=16", "the test sees images of [11,12]: leave"),
        (
            "data.test_resize=all",
            "data.test_resize=all: give a number from 1 on, the shorter side, or auto",
        ),
        (
            "data.test_resize=none",
            "data.test_resize=none: give a number from 1 on, the shorter side, or",
        ),
        ("data.test_resize=7", "data.test_resize=7 has no middle of 8 pixels: choose data.test_re"),
        ("data.test_size=12 data.test_resize=11", "data.test_resize=11 has no middle of 12"),
        ("data.test_resize=9 data.fit=pad", "data.fit=pad sees all of it: leave one of them out"),
        ("data=fake +data.test_size=9", "data.test_size=9 is for image files and fake has none"),
        ("data=fake data.test_size=9", "data.test_size belongs to data=imagenet_subset"),
    ],
)
def test_bad_sizes_are_one_line(
    senet: Senet, tree: Path, tmp_path: Path, settings: str, message: str
) -> None:
    given = words(tree)
    if "data=fake" in settings:
        given = tuple(word for word in given if not word.startswith(("data=", "data.root")))
    result = senet(*given, *settings.split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("error: ")
    assert message in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_network_cannot_take() -> None:
    data = dataclasses.replace(DATA, test_size=3)
    with torch.device("meta"):
        network = nn.Conv2d(3, 2, 5)
        with pytest.raises(
            InputError, match=r"^data\.test_size=3 is not for this network \(.+choose"
        ):
            cost_at(network, [], data)
        cost = cost_at(network, [], dataclasses.replace(data, test_size=5))
    assert cost.multiply_adds == 3 * 2 * 5 * 5
