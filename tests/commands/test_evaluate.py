"""senet-evaluate: the record's own figures, others' formulas, classes by name, refusals."""

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import confusion_matrix, recall_score
from statsmodels.stats.proportion import proportion_confint
from support import Result, pictures_unrendered

from senet_train import load_run
from senet_train.commands.evaluate import predictions as predictions_module
from senet_train.commands.evaluate.cli import main
from senet_train.commands.evaluate.corruptions import CORRUPTIONS, corrupted
from senet_train.commands.evaluate.find_test_set import find_other_data
from senet_train.commands.evaluate.predictions import Predictions, predict_images
from senet_train.commands.evaluate.score import corruption_scores, mean, quality_of
from senet_train.config.schema import Choice
from senet_train.data.images import MemoryImages
from senet_train.errors import InputError
from senet_train.runs.trained.forward import Forward
from senet_train.runs.trained.own_data import own_splits

Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(seen: tuple[Path, Path], tmp_path: Path, monkeypatch, capsys) -> Evaluate:
    """`evaluate("--out", "e")` runs the command on the run of `seen`, in an empty folder.

    Its pictures are of one pixel, unless they are to be `rendered`.
    """
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*arguments: str | Path, of: Path = seen[1], rendered: bool = False) -> Result:
        with nullcontext() if rendered else pictures_unrendered():
            code = main([str(of), *map(str, arguments)])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


def written(name: str = "out") -> dict:
    return json.loads((Path(name) / "evaluation.json").read_text())


def first_answers(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels and answers of the run's own test, as it wrote them."""
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        return file["label"].astype(int), file["top5"][:, 0].astype(int)


def test_its_own_test_images_give_its_record(seen: tuple[Path, Path], evaluate: Evaluate) -> None:
    record = json.loads((seen[1] / "result.json").read_text())["metrics"]
    done = evaluate("--out", "out", "--batch-size", "5")
    assert done.code == 0
    assert done.err == ""
    assert "in precision 32: 0 of 27 images apart" in done.out
    found = written()
    assert 0.4 < record["test_top1"] < 1
    assert found["recorded_top1"] == record["test_top1"]
    assert found["score"]["top1"]["value"] == pytest.approx(record["test_top1"], abs=1e-9)
    assert found["score"]["top5"]["value"] == record["test_top5"]
    assert found["score"]["loss"]["value"] == pytest.approx(record["test_loss"], rel=1e-4)


def test_classes_and_confusion_are_those_of_the_answers(
    seen: tuple[Path, Path], evaluate: Evaluate
) -> None:
    labels, answered = first_answers(seen[1])
    assert evaluate("--out", "out", rendered=True).code == 0
    confusion = written()["score"]["confusion"]
    assert confusion["classes"] == ["cat", "dog", "eel"]
    assert confusion["counts"] == confusion_matrix(labels, answered).tolist()
    with open("out/per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    recalls = recall_score(labels, answered, average=None)
    shares = dict(zip(("cat", "dog", "eel"), recalls, strict=True))
    assert {row["class"]: float(row["top1"]) for row in rows} == pytest.approx(shares)
    assert [float(row["top1"]) for row in rows] == sorted(shares.values())
    names = {file.name for file in Path("out").iterdir()}
    assert {"confusion.csv", "reliability.png", "reliability.svg", "confusion.png"} <= names
    assert Path("out/confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("with_training", [False, True])
def test_a_folder_is_mapped_by_name(
    seen: tuple[Path, Path], evaluate: Evaluate, tmp_path: Path, with_training: bool
) -> None:
    """dog and eel alone are folders 0 and 1, and the run's classes 1 and 2."""
    tree, run = seen
    base = tmp_path / "other"
    for name in ("dog", "eel"):
        shutil.copytree(tree / "val" / name, base / ("test" if with_training else "") / name)
    if with_training:
        (base / "train" / "ant").mkdir(parents=True)
    labels, answered = first_answers(run)
    there = labels > 0
    right = float((labels == answered)[there].mean())
    by_position = float((labels - 1 == answered)[there].mean())
    assert right != by_position  # or the test could not fail
    assert evaluate(base, "--out", "out").code == 0
    found = written()["score"]
    assert found["num_images"] == 18
    assert found["top1"]["value"] == pytest.approx(right)
    assert {row["name"] for row in found["per_class"]} == {"dog", "eel"}
    assert written()["recorded_top1"] is None


def test_another_data_set_by_its_settings(
    seen: tuple[Path, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    """The test part of a tree that lacks a class: labels by name again, the run's image size."""
    tree, run = seen
    labels, answered = first_answers(run)
    for part in ("train", "val"):
        for name in ("dog", "eel"):
            shutil.copytree(tree / part / name, tmp_path / "two" / part / name)
    done = evaluate("data=imagenet_subset", f"data.root={tmp_path / 'two'}", "--out", "out")
    assert done.code == 0, done.err
    right = (labels == answered)[labels > 0].mean()
    assert written()["score"]["top1"]["value"] == pytest.approx(float(right))


def moved(run: Path, old: Path, new: Path) -> Path:
    """A copy of the run whose data were at `old`, which is not there."""
    copy = shutil.copytree(run, new)
    text = (copy / "config.yaml").read_text()
    assert str(old) in text
    (copy / "config.yaml").write_text(text.replace(str(old), str(old.parent / "gone")))
    return copy


def test_data_that_have_moved(seen: tuple[Path, Path], evaluate: Evaluate, tmp_path: Path) -> None:
    tree, run = seen
    copy = moved(run, tree, tmp_path / "copy")
    lost = evaluate(of=copy)
    assert lost.code == 2
    assert "say where they are by data.root=DIR" in lost.err
    assert len(lost.err.splitlines()) == 1
    found = evaluate(f"data.root={tree}", of=copy)
    assert found.code == 0
    assert "0 of 27 images apart" in found.out
    assert len(own_splits(load_run(copy), str(tree)).test.labels) == 27
    with pytest.raises(InputError, match=r"data\.root=DIR"):
        own_splits(load_run(copy))


def test_other_images_than_the_record_are_noticed(
    seen: tuple[Path, Path], evaluate: Evaluate, tmp_path: Path, caplog
) -> None:
    """Labels of two classes exchanged: the same files, and no rounding."""
    tree, _ = seen
    other = shutil.copytree(tree, tmp_path / "other")
    (other / "val" / "cat").rename(other / "val" / "x")
    (other / "val" / "dog").rename(other / "val" / "cat")
    (other / "val" / "x").rename(other / "val" / "dog")
    done = evaluate(f"data.root={other}")
    assert done.code == 0
    assert "more than rounding explains" in caplog.text


def random_answers() -> Predictions:
    """Predictions to 400 images of 5 classes; some are entirely sure, rightly or not."""
    random = np.random.default_rng(0)
    confidence = random.uniform(0.2, 1, 400).astype(np.float32)
    confidence[:40] = 1.0
    labels, predicted = random.integers(0, 5, 400), random.integers(0, 5, 400)
    predicted[:250] = np.where(random.random(250) < 0.8, labels[:250], predicted[:250])
    in_top5 = np.ones(400, bool)
    return Predictions(labels, predicted, confidence, in_top5, random.random(400, np.float32))


def test_calibration_error_is_the_textbooks() -> None:
    answers = random_answers()
    expected = 0.0
    for low in range(15):  # bins (low / 15, (low + 1) / 15], the first with its lower end
        inside = np.ceil(answers.confidence.astype(float) * 15 - 1e-9) - 1 == low
        if inside.any():
            gap = answers.correct[inside].mean() - answers.confidence[inside].astype(float).mean()
            expected += inside.mean() * abs(gap)
    found = quality_of(answers, list("abcde"))
    assert found.calibration_error == pytest.approx(expected, abs=1e-6)
    drawn = sum(b.num_images * abs(b.accuracy - b.confidence) for b in found.bins) / 400
    assert drawn == pytest.approx(expected, abs=1e-6)
    assert sum(b.num_images for b in found.bins) == 400
    unsure = dataclasses.replace(answers, confidence=answers.confidence / 2)
    assert quality_of(unsure, list("abcde")).calibration_error != pytest.approx(expected, abs=1e-2)


def test_shares_and_intervals_are_the_libraries() -> None:
    answers = random_answers()
    found = quality_of(answers, list("abcde"))
    hits = int((answers.labels == answers.predicted).sum())
    low, high = proportion_confint(hits, 400, method="wilson")
    assert (found.top1.low, found.top1.high) == pytest.approx((low, high))
    assert found.top5.high == pytest.approx(1.0)
    assert found.top5.low < 1
    recalls = recall_score(answers.labels, answers.predicted, average=None)
    assert {s.name: s.top1.value for s in found.per_class} == pytest.approx(
        dict(zip("abcde", recalls, strict=True))
    )
    expected = confusion_matrix(answers.labels, answers.predicted)
    np.testing.assert_array_equal(found.confusion.counts, expected)
    error = answers.loss.astype(float).std(ddof=1) / 20
    assert found.loss.high - found.loss.value == pytest.approx(1.966 * error, rel=1e-3)


def test_one_image_is_enough() -> None:
    one = Predictions(*(column[:1] for column in dataclasses.astuple(random_answers())))
    found = quality_of(one, list("abcde"))
    assert found.loss.low == found.loss.value
    assert len(found.per_class) == 1


# What each corruption does to an image at this strength: nothing.
IDENTITY = {
    "gaussian_noise": 0.0,
    "gaussian_blur": 1e-3,
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "posterize": 8,
    "jpeg": 100,
}


def smooth_pixels() -> torch.Tensor:
    """Four slopes, (4, 16, 16, 3) uint8."""
    slope = torch.linspace(20, 220, 16)[:, None, None].expand(16, 16, 3)
    tints = torch.tensor([[1.0, 0.8, 0.6], [0.5, 1, 0.7], [0.9, 0.4, 1], [0.7, 0.7, 0.3]])
    return (slope * tints[:, None, None]).to(torch.uint8)


def test_no_interval_of_a_loss_goes_below_zero() -> None:
    losses = np.array([0.01, 0.01, 0.02, 5.0], np.float32)
    found = mean(losses)
    middle = losses.astype(float)
    low, high = stats.t.interval(0.95, 3, middle.mean(), stats.sem(middle))
    assert low < 0
    assert (found.low, found.high) == (0.0, pytest.approx(high))


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name)
def test_a_corruption_gets_worse_and_is_the_same_again(corruption) -> None:
    pixels, ids = smooth_pixels(), list("abcd")
    made = [corrupted(pixels, corruption, severity, ids) for severity in range(1, 6)]
    assert all(m.shape == pixels.shape and m.dtype == torch.uint8 for m in made)
    apart = [(m.float() - pixels.float()).abs().mean().item() for m in made]
    assert apart == sorted(apart)
    assert apart[4] > max(apart[0], 0.5)
    torch.manual_seed(1)
    alone = corrupted(pixels[2:3], corruption, 5, ["c"])  # another batch, another state
    assert torch.equal(alone, made[4][2:3])
    if corruption.name in IDENTITY:
        [left] = [corruption.apply(pixels[0].permute(2, 0, 1), IDENTITY[corruption.name])]
        unchanged = (left.permute(1, 2, 0).float() - pixels[0].float()).abs()
        assert unchanged.max() <= (6 if corruption.name == "jpeg" else 1)


def test_noise_is_the_images_own() -> None:
    pixels = smooth_pixels()[:1].expand(2, -1, -1, -1)
    noise = CORRUPTIONS[0]
    first, second = corrupted(pixels, noise, 3, ["a", "b"])
    assert not torch.equal(first, second)


def test_robustness_counts_what_the_network_says(
    seen: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images that are not corrupted leave the top-1; those that are, counted one by one here."""
    run = load_run(seen[1])
    forward, test = Forward.of(run, 4), own_splits(run).test.take(torch.arange(0, 27, 3))
    assert isinstance(test, MemoryImages)
    answers, hits = predict_images(forward, test, corruptions=True)
    expected = [
        sum(
            int(forward(corrupted(test.pixels[i : i + 1], c, s, [test.ids[i]])).argmax() == label)
            for i, label in enumerate(test.labels.tolist())
        )
        for c, s in ((CORRUPTIONS[0], 5), (CORRUPTIONS[-1], 1))
    ]
    assert [hits[0][4], hits[-1][0]] == expected
    monkeypatch.setattr(predictions_module, "corrupted", lambda pixels, *_: pixels)
    _, same = predict_images(forward, test, corruptions=True)
    clean = quality_of(answers, run.class_names)
    scores = corruption_scores(same, [c.name for c in CORRUPTIONS], clean)
    assert len(scores) == 9
    assert [row.relative for row in scores] == pytest.approx([1.0] * 9)
    assert [row.mean for row in scores] == pytest.approx([clean.top1.value] * 9)


def test_corruptions_are_printed_and_written(evaluate: Evaluate) -> None:
    done = evaluate("--corruptions", "--out", "out", rendered=True)
    assert done.code == 0
    assert "top-1 on corrupted images" in done.out
    with open("out/corruptions.csv", newline="") as file:
        rows = {row["corruption"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*(c.name for c in CORRUPTIONS), "mean"]
    severities = [float(rows["jpeg"][f"severity_{i}"]) for i in range(1, 6)]
    assert float(rows["jpeg"]["mean"]) == pytest.approx(np.mean(severities))
    assert Path("out/corruptions.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["strange"], "strange has classes that the run does not know (ant): its classes are cat"),
        (["nowhere"], "nowhere is no folder: give one that holds class folders"),
        (["empty"], "empty has no class: images end in"),
        (["empty", "strange"], "give one folder of class folders"),
        (["model=resnet18"], "only data=NAME and data.KEY=VALUE can be set"),
        (["data=nope"], "data=nope is none of the options: cifar10"),
        (["data=digits"], "data=digits has classes that the run does not know (0, 1"),
        (["data=digits", "data.image_size=9"], "data.image_size is the run's own, leave it out"),
        (["data=digits", "data.rot=1"], "there is no key data.rot"),
        (["data.workers=1"], "is of no data set: name one by data=NAME"),
        (["--out", "file"], "--out file cannot be made"),
        (["--batch-size", "0"], "0 is no count"),
    ],
)
def test_bad_input_is_one_line(
    evaluate: Evaluate, tmp_path: Path, seen: tuple[Path, Path], arguments: list[str], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    shutil.copytree(seen[0] / "val" / "cat", tmp_path / "strange" / "ant")
    done = evaluate(*arguments)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert done.out == ""


def test_a_strangers_names_steer_no_terminal(
    evaluate: Evaluate, tmp_path: Path, seen: tuple[Path, Path]
) -> None:
    shutil.copytree(seen[0] / "val" / "cat", tmp_path / "strange" / "\x1b[2Jant")
    done = evaluate("strange")
    assert done.code == 2
    assert "(\\x1b[2Jant)" in done.err


def test_a_bad_image_ends_it_in_one_line(
    evaluate: Evaluate, tmp_path: Path, seen: tuple[Path, Path]
) -> None:
    shutil.copytree(seen[0] / "val", tmp_path / "bad")
    (tmp_path / "bad" / "eel" / "8.png").write_text("no image")
    done = evaluate("bad", "--out", "out")
    assert done.code == 1
    assert "8.png cannot be read as an image" in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("out").exists()


def test_a_crop_of_files_needs_files(seen: tuple[Path, Path]) -> None:
    data = load_run(seen[1]).config.data
    other = dataclasses.replace(data, source=Choice("digits"), crop="resized", cache="auto")
    with pytest.raises(InputError, match="give a folder of images"):
        find_other_data(other)
