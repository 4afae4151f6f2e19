"""Scores in which every class counts alike, however many images it has.

Shapes: N images, K classes. A class of which no image says anything (no image of it, or none that
was said to be it) has no part in a mean, as in scikit-learn.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PerClass = dict[str, dict[str, float]]


def counts_by_class(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Images by class that were found, that were said, and that there are: (3 * K,).

    `predicted` and `labels` are (B,). Integers are added in any order to the same sum, and the host
    does not wait for a GPU.
    """
    hits = torch.where(predicted == labels, labels, num_classes)  # a last place for all others
    counts = [
        ids.new_zeros(num_classes + 1).scatter_add_(0, ids, torch.ones_like(ids))[:num_classes]
        for ids in (hits, predicted, labels)
    ]
    return torch.cat(counts)


def macro_means(counts: Tensor) -> dict[str, float]:
    """Macro-F1 and balanced accuracy from `counts_by_class`, (3 * K,).

    F1 is averaged over classes that have images or were said, recall over those that have images.
    """
    found, said, there = counts.double().view(3, -1)
    either, present = said + there > 0, there > 0
    return {
        "macro_f1": float((2 * found[either] / (said + there)[either]).mean()),
        "balanced_accuracy": float((found[present] / there[present]).mean()),
    }


def per_class_of(counts: Tensor, class_names: Sequence[str]) -> PerClass:
    """The number of images, precision and recall of each class by its name.

    Recall is left out of a class without images, precision of one that was never said.
    """
    rows = counts.view(3, -1).T.tolist()
    return {
        name: {
            "images": int(there),
            **({"precision": found / said} if said else {}),
            **({"recall": found / there} if there else {}),
        }
        for name, (found, said, there) in zip(class_names, rows, strict=True)
    }


def ranking_means(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """AUROC and average precision of each class against the rest, averaged over classes.

    `logits` (N, K), `labels` (N,). Average precision is of classes that have images; AUROC of those
    that others have images of as well, and left out where there is none.
    """
    probabilities = logits.double().softmax(1).numpy()
    areas, precisions = [], []
    for label in labels.unique().tolist():
        of_class = (labels == label).numpy()
        found, missed = cumulated(probabilities[:, label], of_class)
        precisions.append(average_precision(found, missed))
        if missed[-1]:
            areas.append(area_under_roc(found, missed))
    means = {"average_precision": float(np.mean(precisions))}
    return {"auroc": float(np.mean(areas)), **means} if areas else means


def cumulated(
    scores: NDArray[np.float64], of_class: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images of the class, and others, at or above each score, from the highest score down.

    Equal scores are one step, so that the order of images does not matter.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(of_class[order])[ends].astype(np.float64)
    return found, ends + 1.0 - found


def area_under_roc(found: NDArray[np.float64], missed: NDArray[np.float64]) -> float:
    """The area under the curve of found against falsely said, by trapezoids."""
    rate = np.append(0.0, found / found[-1])
    false = np.append(0.0, missed / missed[-1])
    return float((np.diff(false) * (rate[1:] + rate[:-1]) / 2).sum())


def average_precision(found: NDArray[np.float64], missed: NDArray[np.float64]) -> float:
    """The precision at each step, weighted by what of the class is found in it."""
    recall = np.append(0.0, found / found[-1])
    return float((np.diff(recall) * found / (found + missed)).sum())
