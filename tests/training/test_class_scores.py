"""Scores that count classes alike, against scikit-learn, also where a class is missing."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from support import TINY
from training.fitting import fit

from senet_train.cli import main
from senet_train.runs.record import read_record
from senet_train.training.fit import load_best
from senet_train.training.tasks.class_scores import (
    counts_by_class,
    macro_means,
    per_class_of,
    ranking_means,
)

CLASSES = ("ant", "bee", "cat", "dog")


def random_case(seed: int, shares: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (90, 4), rounded so that many are equal, and labels (90,) in these shares."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(
        torch.tensor(shares, dtype=torch.float), 90, replacement=True, generator=generator
    )
    noise = torch.randn(90, 4, generator=generator)
    return (2 * (noise + torch.eye(4)[labels])).round() / 2, labels


CASES = {
    "random": random_case(0, (0.25, 0.25, 0.25, 0.25)),
    "unequal": random_case(1, (0.9, 0.06, 0.02, 0.02)),
    "a class without images": random_case(2, (0.5, 0.3, 0.2, 0)),
    "one class said of all": (
        torch.tensor([[3.0, 1, 1, 0]]).repeat(90, 1),
        random_case(3, (0.25, 0.25, 0.25, 0.25))[1],
    ),
    "one class in all images": random_case(4, (0, 0, 1, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_means_over_classes_are_those_of_scikit_learn(name: str) -> None:
    logits, labels = CASES[name]
    said = logits.argmax(1)
    found = macro_means(counts_by_class(said, labels, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are only said
        assert found["macro_f1"] == pytest.approx(sklearn.f1_score(labels, said, average="macro"))
        expected = sklearn.balanced_accuracy_score(labels, said)
    assert found["balanced_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("name", CASES)
def test_rankings_are_those_of_scikit_learn(name: str) -> None:
    logits, labels = CASES[name]
    probabilities = logits.double().softmax(1).numpy()
    found = ranking_means(logits, labels)
    ours = [(labels == k).numpy() for k in range(4)]
    precisions = [
        sklearn.average_precision_score(own, probabilities[:, k])
        for k, own in enumerate(ours)
        if own.any()
    ]
    assert found["average_precision"] == pytest.approx(np.mean(precisions))
    areas = [
        sklearn.roc_auc_score(own, probabilities[:, k])
        for k, own in enumerate(ours)
        if own.any() and not own.all()
    ]
    assert ("auroc" in found) == bool(areas) == (name != "one class in all images")
    if areas:
        assert found["auroc"] == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("name", CASES)
def test_precision_and_recall_of_each_class(name: str) -> None:
    logits, labels = CASES[name]
    said = logits.argmax(1)
    found = per_class_of(counts_by_class(said, labels, 4), CLASSES)
    precision, recall, _, number = sklearn.precision_recall_fscore_support(
        labels, said, labels=range(4), zero_division=np.nan
    )
    assert [found[c]["images"] for c in CLASSES] == number.tolist()
    missing = float("nan")
    ours = [[found[c].get(key, missing) for c in CLASSES] for key in ("precision", "recall")]
    assert ours[0] == pytest.approx(precision, nan_ok=True)
    assert ours[1] == pytest.approx(recall, nan_ok=True)


def test_validation_is_scored_over_all_batches(tmp_path: Path) -> None:
    """13 images in batches of 8; the last row is that of the network as it is now."""
    module, _, data = fit(tmp_path)
    images = data.splits.validation
    module.eval()
    with torch.no_grad():
        batches = list(data.evaluation_batches(images))
        said = torch.cat([module.network(pixels).argmax(1) for pixels, _, _ in batches])
    labels = torch.cat([labels for _, labels, _ in batches])
    row = module.progress.history[-1]
    assert len(labels) == 13
    assert row["val_macro_f1"] == pytest.approx(sklearn.f1_score(labels, said, average="macro"))
    expected = sklearn.balanced_accuracy_score(labels, said)
    assert row["val_balanced_accuracy"] == pytest.approx(expected)
    assert "val_score" not in row


@pytest.mark.parametrize("score", ["macro_f1", "balanced_accuracy"])
def test_the_best_epoch_is_that_of_the_chosen_score(tmp_path: Path, score: str) -> None:
    module, *_ = fit(tmp_path, max_epochs=8, score=score)
    column = [row[f"val_{score}"] for row in module.progress.history]
    losses = [row["val_loss"] for row in module.progress.history]
    best = max(range(8), key=lambda epoch: (column[epoch], -losses[epoch]))
    assert load_best(module, tmp_path / "checkpoints" / "best.ckpt", {}) == best
    assert module.best_score() == max(column)
    assert [row["val_score"] for row in module.progress.history] == column


def test_top1_may_choose_another_epoch() -> None:
    """Negative control: the ranks of two epochs are in another order by another score."""
    from training.fitting import TRAINER

    from senet_train.training.tasks.classification import ImageClassifier

    assert TRAINER.score == "auto"
    rows = [
        {"val_top1": 0.9, "val_macro_f1": 0.5, "val_loss": 1.0},
        {"val_top1": 0.8, "val_macro_f1": 0.6, "val_loss": 1.0},
    ]
    for score, best in (("auto", 0), ("macro_f1", 1)):
        learner = dataclasses.make_dataclass("L", ["score"])(
            ImageClassifier.kind.score_called(score)
        )
        ranks = [ImageClassifier.epoch_rank(learner, row, 10) for row in rows]
        assert ranks.index(max(ranks)) == best


def test_the_record_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [*TINY, "trainer.max_epochs=1", "trainer.score=macro_f1", "hydra.mode=RUN"]
    assert main(settings) == 0
    [file] = tmp_path.glob("outputs/*/*/seed0/result.json")
    metrics = read_record(file).metrics
    assert metrics.score.title == "macro-F1"
    with np.load(file.parent / "predictions.npz") as arrays:
        labels, said = arrays["label"], arrays["top5"][:, 0]
    assert metrics.test_score == pytest.approx(sklearn.f1_score(labels, said, average="macro"))
    written = json.loads(file.read_text())["metrics"]
    assert written["judged_by"] == "macro_f1"
    assert sorted(written["macro"]) == [
        *("test_auroc", "test_average_precision", "test_balanced_accuracy", "test_macro_f1"),
        *("val_balanced_accuracy", "val_balanced_accuracy_last"),
        *("val_macro_f1", "val_macro_f1_last"),
    ]
    assert sum(found["images"] for found in written["per_class"].values()) == 20
