"""`data.image_size=[height,width]`: what is seen of a picture, and what commands make of it."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from support import TINY, Senet, config, draw_tree, run_folders
from torchvision.transforms import v2

from senet_train.attention import ATTENTIONS
from senet_train.commands.evaluate.cli import main as evaluate
from senet_train.commands.export.cli import main as export
from senet_train.commands.inspect.cli import main as inspect
from senet_train.commands.predict.cli import main as predict
from senet_train.commands.profile.cli import main as profile
from senet_train.config.image_size import canonical_size, size_words, typed_size
from senet_train.data.framing import MARGIN, Fit, centre, framed, in_shape
from senet_train.data.imagenet_subset import random_crop, random_part
from senet_train.errors import InputError
from senet_train.networks.graph.weave import weave
from senet_train.runs.network import NetworkBuilder
from senet_train.training.plan import make_plan

SHAPES = [(40, 90), (90, 40), (33, 33), (20, 30), (101, 100)]  # height, width
SIZES = [(20, 30), (30, 20), (16, 64), (21, 21)]


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("margin", [1.0, MARGIN])
def test_a_crop_is_pillows(shape: tuple[int, int], size: tuple[int, int], margin: float) -> None:
    """Its ImageOps.fit leaves out the same share at every edge, and cuts the shape out of it."""
    picture, (height, width) = noise(*shape), size
    bleed = (1 - 1 / margin) / 2
    theirs = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR, bleed=bleed)
    ours = np.asarray(centre(picture, (width, height), margin)).astype(int)
    assert ours.shape == (height, width, 3)
    assert np.abs(ours - np.asarray(theirs)).max() <= 1  # the box is rounded elsewhere
    squeezed = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    all_is_seen = Fraction(*shape) == Fraction(*size) and margin == 1
    assert all_is_seen == bool((np.abs(ours - squeezed) <= 1).all())


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_all_of_a_picture_is_seen(fit: Fit) -> None:
    picture = noise(40, 90)
    seen = np.asarray(framed(picture, [20, 30], fit, MARGIN))
    if fit == "resize":
        expected = picture.resize((30, 20), Image.Resampling.BILINEAR)
        cut_from = (60, 40)  # as large as fits into the picture
    else:
        expected = ImageOps.pad(picture, (30, 20), Image.Resampling.BILINEAR)
        cut_from = (90, 60)
    np.testing.assert_array_equal(seen, np.asarray(expected))
    assert in_shape(picture, [20, 30], fit).size == cut_from
    assert in_shape(picture, [20, 30], "crop") is picture


def test_a_picture_of_this_size_is_taken_whole() -> None:
    picture = noise(20, 30)
    for fit in ("crop", "resize", "pad"):
        assert framed(picture, [20, 30], fit, MARGIN) is picture
        assert framed(picture, [30, 20], fit, MARGIN).size == (20, 30)


def test_a_random_crop_has_the_shape_or_nearly() -> None:
    """Torchvision's own of the default settings cuts squares, which would all be stretched."""
    picture, shapes = noise(300, 600), []
    for crop in (random_crop(32, 64), v2.RandomResizedCrop((32, 64)), random_crop(32, 32)):
        drawn = [crop.make_params([picture]) for _ in range(200)]
        shapes.append(np.array([found["width"] / found["height"] for found in drawn]))
        assert crop(picture).size == ((64, 32) if crop.size == (32, 64) else (32, 32))
    ours, theirs, square = shapes
    assert (ours > 1.4).all()
    assert (ours < 2.8).all()
    assert np.median(theirs) < 1.2
    assert np.median(square) < 1.2


def test_a_square_is_cut_as_by_torchvision_and_pillow() -> None:
    """On equal draws torchvision's crop of the same picture, which scales as Pillow does."""
    picture = noise(70, 90)
    planes = v2.functional.pil_to_tensor(picture)
    for size in (32, 33, 47):
        for draw in range(20):
            torch.manual_seed(draw)
            ours = random_part(picture, size, size)
            torch.manual_seed(draw)
            assert torch.equal(ours, v2.RandomResizedCrop(size)(planes).permute(1, 2, 0))
            torch.manual_seed(draw)
            by_pillow = np.asarray(v2.RandomResizedCrop(size)(picture)).astype(int)
            assert np.abs(ours.numpy() - by_pillow).max() <= 1
        side = 70 / MARGIN
        box = ((90 - side) / 2, (70 - side) / 2, (90 - side) / 2 + side, (70 - side) / 2 + side)
        before = picture.resize((size, size), Image.Resampling.BILINEAR, box)
        assert framed(picture, size, "crop", MARGIN) == before


def test_words_and_one_way_to_write_a_size() -> None:
    assert (size_words(32), size_words([32, 64])) == ("32 px", "32 x 64 px")
    assert (typed_size(32), typed_size([32, 64]), typed_size([32, 32])) == ("32", "[32,64]", "32")
    assert (canonical_size([32, 32]), canonical_size([32, 64])) == (32, [32, 64])


@pytest.mark.parametrize(("size", "large"), [("[64,400]", False), ("[65,66]", True), ("80", True)])
def test_stem_and_crop_follow_the_shorter_side(size: str, large: bool) -> None:
    found = config("data=imagenet_subset", f"data.image_size={size}", "model=se_resnet18")
    assert found.model.options["stem"] == ("imagenet" if large else "cifar")
    assert found.data.crop == ("resized" if large else "pad")


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention_takes_maps_that_are_not_square(name: str) -> None:
    builder = NetworkBuilder.of(config("model=resnet8", f"attention={name}", "ratio=4"))
    network, _ = builder.build(3)
    found = network.train()(torch.randn(2, 3, 16, 40))
    assert found.shape == (2, 3)
    found.sum().backward()


def test_a_network_of_one_size_is_woven() -> None:
    """Its linear layer takes maps of 8 x 16 pixels alone."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 4 * 8, 2),
    )  # fmt: skip
    with pytest.raises(InputError, match="takes no maps of 3 channels and 8 px"):
        weave(network, image_size=8)
    images = torch.randn(2, 3, 8, 16)
    assert torch.equal(weave(network, image_size=(8, 16)).eval()(images), network.eval()(images))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rectangles") / "tree"
    draw_tree(folder)
    return folder


def words(tree: Path, size: str = "[8,12]") -> list[str]:
    kept = [word for word in TINY if not word.startswith(("data=", "data.num", "data.image_size"))]
    return [*kept, "data=imagenet_subset", f"data.root={tree}", f"data.image_size={size}"]


def test_multiply_adds_are_those_of_both_sides(tree: Path) -> None:
    """With attention=none they grow with the number of pixels, but for the last layer."""
    costs = {
        size: make_plan(config(*words(tree, size), "attention=none")).cost.multiply_adds
        for size in ("8", "[8,16]", "[16,8]")
    }
    last = 64 * 3
    assert costs["[8,16]"] - last == 2 * (costs["8"] - last)
    assert costs["[16,8]"] == costs["[8,16]"]


def test_two_equal_sides_are_one_side(tree: Path) -> None:
    folders = {
        size: make_plan(config(*words(tree, size))).folder for size in ("8", "[8,8]", "[8,9]")
    }
    assert folders["8"] == folders["[8,8]"] != folders["[8,9]"]
    tested = [config(*words(tree), f"data.test_size={size}") for size in ("auto", "[8,12]")]
    assert len({make_plan(each).folder for each in tested}) == 1


def test_from_training_to_an_exported_file(
    senet: Senet,
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    unrendered: None,
) -> None:
    """Every command reads the images as the run did: their scores are those of the record."""
    result = senet(*words(tree), "data.crop=resized", "data.test_size=[9,15]")
    assert result.code == 0, result.err
    [folder] = run_folders(tmp_path)
    record = json.loads((folder / "result.json").read_text())
    assert record["config"]["data"]["image_size"] == [8, 12]
    assert evaluate([str(folder), "--out", "own"]) == 0
    assert "0 of 27 images apart" in capsys.readouterr().out
    score = json.loads(Path("own/evaluation.json").read_text())["score"]
    assert score["loss"]["value"] == pytest.approx(record["metrics"]["test_loss"], rel=1e-5)
    assert predict([str(folder), str(tree / "val"), "--out", "said.json"]) == 0
    said = {row["file"]: row["classes"][0] for row in json.loads(Path("said.json").read_text())}
    with np.load(folder / "predictions.npz") as file:
        for name, chance in zip(file["image_id"], file["probability_first"], strict=True):
            assert said[str(tree / name)]["probability"] == pytest.approx(float(chance), abs=1e-3)
    assert export([str(folder), "--format", "torch-export"]) == 0
    card = next(Path().glob("*.md")).read_text()
    assert "uint8 (B, 9, 15, 3)" in card
    assert "(15, 9), Image.Resampling.BILINEAR" in card
    assert inspect([str(folder)]) == 0
    assert profile([str(folder), "--batch-size", "1"]) == 0
    assert "images of 9 x 15 px" in capsys.readouterr().out
