"""Accuracy, loss and calibration of predictions with their uncertainty, and where the errors are.

Intervals are over images: they say where the figures would be on another test set of the same kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_confusion_matrix,
)

from senet_train.commands.evaluate.predictions import Predictions
from senet_train.training.tasks.mistakes import MOST_CLASSES, most_confused

NUM_BINS = 15  # Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over images and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassScore:
    """The share of one class's images that were predicted as that class."""

    name: str
    num_images: int
    top1: Estimate


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies between `low` and `high`; shares in 0..1."""

    low: float
    high: float
    num_images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    """Numbers of images by label (rows) and prediction (columns), of classes that have either.

    Of more than 200 classes the last one is all that have fewer mistakes than the others.
    """

    classes: list[str]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class ClassifierQuality:
    """Everything measured of a run on a test set; `per_class` has the worst class first."""

    num_images: int
    top1: Estimate
    top5: Estimate
    loss: Estimate
    calibration_error: float
    bins: list[Bin]
    per_class: list[ClassScore]
    confusion: Confusion


def quality_of(predictions: Predictions, class_names: Sequence[str]) -> ClassifierQuality:
    """Measure the predictions for one image or more."""
    return ClassifierQuality(
        num_images=len(predictions.labels),
        top1=share(predictions.correct),
        top5=share(predictions.in_top5),
        loss=mean(predictions.loss),
        calibration_error=calibration_error(predictions),
        bins=bins(predictions),
        per_class=per_class(predictions, class_names),
        confusion=confusion(predictions, class_names),
    )


def share(hits: NDArray[np.bool_]) -> Estimate:
    """The share of hits with Wilson's interval, valid also near 0 and 1 and for few images."""
    count = int(hits.sum())
    interval = stats.binomtest(count, len(hits)).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / len(hits), float(interval.low), float(interval.high))


def mean(losses: NDArray[np.float32]) -> Estimate:
    """The mean with its t-interval, which has no width for one image or equal values.

    It does not go below 0, where no loss is.
    """
    wide = losses.astype(np.float64)
    error = float(wide.std(ddof=1) / np.sqrt(len(wide))) if len(wide) > 1 else 0.0
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(wide) - 1)) * error if error else 0.0
    middle = float(wide.mean())
    return Estimate(middle, max(middle - half, 0.0), middle + half)


def per_class(predictions: Predictions, class_names: Sequence[str]) -> list[ClassScore]:
    """A score for each class that has images, the worst first."""
    scores = []
    for index in np.unique(predictions.labels).tolist():
        hits = predictions.correct[predictions.labels == index]
        scores.append(ClassScore(class_names[index], len(hits), share(hits)))
    return sorted(scores, key=lambda score: (score.top1.value, score.name))


def confusion(predictions: Predictions, class_names: Sequence[str]) -> Confusion:
    """Numbers of images by label and prediction; of many classes, of those with the most mistakes.

    What is then left is one class more, the last.
    """
    labels, predicted = map(torch.from_numpy, (predictions.labels, predictions.predicted))
    names = list(class_names)
    if len(names) > MOST_CLASSES:  # a table of all would grow with their square
        names, labels, predicted = most_confused(names, labels, predicted)
    every = multiclass_confusion_matrix(predicted, labels, num_classes=len(names)).numpy()
    kept = np.union1d(labels.numpy(), predicted.numpy())
    return Confusion([names[i] for i in kept.tolist()], every[np.ix_(kept, kept)])


def below_one(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Confidence below 1: torchmetrics would give exactly 1 a bin of its own."""
    return np.minimum(confidence, np.nextafter(np.float32(1), np.float32(0)))


def calibration_error(predictions: Predictions) -> float:
    """The expected calibration error of the likeliest class, over 15 bins of equal width."""
    confidence = torch.from_numpy(below_one(predictions.confidence))
    correct = torch.from_numpy(predictions.correct.astype(np.int64))
    return float(binary_calibration_error(confidence, correct, n_bins=NUM_BINS, norm="l1"))


def bins(predictions: Predictions) -> list[Bin]:
    """The bins of the reliability diagram that have images."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    which = np.digitize(below_one(predictions.confidence), edges) - 1
    return [
        Bin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            num_images=int((which == i).sum()),
            confidence=float(predictions.confidence[which == i].mean()),
            accuracy=float(predictions.correct[which == i].mean()),
        )
        for i in np.unique(which).tolist()
    ]


@dataclass(frozen=True)
class CorruptionScore:
    """Top-1 at severity 1 to 5, their mean, and that mean over the top-1 of clean images."""

    name: str
    top1: list[float]
    mean: float
    relative: float | None  # None: no clean image was right


def corruption_scores(
    hits: list[list[int]], names: Sequence[str], clean: ClassifierQuality
) -> list[CorruptionScore]:
    """One for each corruption, and the mean of all as the last."""
    if not hits:
        return []
    table = np.array(hits) / clean.num_images  # (corruptions, severities)
    rows = [*table, table.mean(0)]
    right = clean.top1.value
    return [
        CorruptionScore(
            name, row.tolist(), float(row.mean()), float(row.mean() / right) if right else None
        )
        for name, row in zip([*names, "mean"], rows, strict=True)
    ]
