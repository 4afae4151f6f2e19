"""Answers -> accuracy, loss and calibration with their uncertainty, and where the errors are.

Intervals are over images: what another test set of the same kind would say, of this one network.
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

from senet_train.commands.evaluate.answers import Answers

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
    """How many of one class's images were given that class."""

    name: str
    num_images: int
    top1: Estimate


@dataclass(frozen=True)
class Bin:
    """The images of which the network was about as sure; shares in 0..1."""

    low: float
    high: float
    num_images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    """Images by label (rows) and answer (columns), of the classes that were either."""

    classes: list[str]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class ClassifierQuality:
    """All that is said of a run on a test set; `per_class` worst first."""

    num_images: int
    top1: Estimate
    top5: Estimate
    loss: Estimate
    calibration_error: float
    bins: list[Bin]
    per_class: list[ClassScore]
    confusion: Confusion


def quality_of(answers: Answers, class_names: Sequence[str]) -> ClassifierQuality:
    """What the answers, to at least one image, are worth."""
    return ClassifierQuality(
        num_images=len(answers.labels),
        top1=share(answers.correct),
        top5=share(answers.in_top5),
        loss=mean(answers.loss),
        calibration_error=calibration_error(answers),
        bins=bins(answers),
        per_class=per_class(answers, class_names),
        confusion=confusion(answers, class_names),
    )


def share(hits: NDArray[np.bool_]) -> Estimate:
    """The share of hits with Wilson's interval, which holds near 0 and 1 and for few images."""
    count = int(hits.sum())
    interval = stats.binomtest(count, len(hits)).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / len(hits), float(interval.low), float(interval.high))


def mean(values: NDArray[np.float32]) -> Estimate:
    """The mean with its t-interval; of one image, or of equal ones, no more than the mean."""
    wide = values.astype(np.float64)
    error = float(wide.std(ddof=1) / np.sqrt(len(wide))) if len(wide) > 1 else 0.0
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(wide) - 1)) * error if error else 0.0
    middle = float(wide.mean())
    return Estimate(middle, middle - half, middle + half)


def per_class(answers: Answers, class_names: Sequence[str]) -> list[ClassScore]:
    """The classes that have images."""
    scores = []
    for index in np.unique(answers.labels).tolist():
        hits = answers.correct[answers.labels == index]
        scores.append(ClassScore(class_names[index], len(hits), share(hits)))
    return sorted(scores, key=lambda score: (score.top1.value, score.name))


def confusion(answers: Answers, class_names: Sequence[str]) -> Confusion:
    """Counts by label and answer."""
    predicted, labels = torch.from_numpy(answers.predicted), torch.from_numpy(answers.labels)
    every = multiclass_confusion_matrix(predicted, labels, num_classes=len(class_names)).numpy()
    kept = np.union1d(answers.labels, answers.predicted)
    return Confusion([class_names[i] for i in kept.tolist()], every[np.ix_(kept, kept)])


def below_one(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """torchmetrics gives a probability of exactly 1 a bin of its own; it belongs to the last."""
    return np.minimum(confidence, np.nextafter(np.float32(1), np.float32(0)))


def calibration_error(answers: Answers) -> float:
    """Expected calibration error of the likeliest class, 15 bins of equal width."""
    confidence = torch.from_numpy(below_one(answers.confidence))
    correct = torch.from_numpy(answers.correct.astype(np.int64))
    return float(binary_calibration_error(confidence, correct, n_bins=NUM_BINS, norm="l1"))


def bins(answers: Answers) -> list[Bin]:
    """What the reliability diagram shows: the bins that have images."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    which = np.digitize(below_one(answers.confidence), edges) - 1
    return [
        Bin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            num_images=int((which == i).sum()),
            confidence=float(answers.confidence[which == i].mean()),
            accuracy=float(answers.correct[which == i].mean()),
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
