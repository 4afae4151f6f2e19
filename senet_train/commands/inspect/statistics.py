"""Statistics of gates over any number of images, in memory that does not grow with them.

Means and sums of squared deviations are kept for each class and channel and merged batch by batch:
Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances", 1979.

Shapes: B batch, C channels, K classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SATURATED, CLOSED = 0.95, 0.05
CONSTANT_STD = 1e-3  # over images
EDGES = np.linspace(-1, 3, 201)  # of the histogram; what lies outside counts at its ends


Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerGates:
    """One layer's gates over all images seen.

    `mean` and `std` are (K, C), of each class and channel; `all_mean` and `all_std` (C,), over all
    images; nan where a channel was never more than zero. `saturated` and `closed` are fractions of
    gates, `constant` of channels; `between` is the share of the variance over images that lies
    between classes (0 class-agnostic, 1 decided by the class), nan where nothing varies.
    """

    mean: Array
    std: Array
    all_mean: Array
    all_std: Array
    saturated: float
    closed: float
    constant: float
    between: float
    histogram: NDArray[np.int64]


class GateStatistics:
    """Gathers one layer's gates."""

    def __init__(self, channels: int, num_classes: int) -> None:
        shape = (num_classes, channels)
        self.count, self.mean, self.squares = (
            torch.zeros(shape, dtype=torch.float64) for _ in range(3)
        )
        self.saturated = self.closed = 0.0
        self.histogram = np.zeros(len(EDGES) - 1, dtype=np.int64)

    def add(self, gates: Tensor, seen: Tensor, labels: Tensor) -> None:
        """Take in one batch: gates and seen (B, C) float64, labels (B,)."""
        count = torch.zeros_like(self.count).index_add_(0, labels, seen)
        total = torch.zeros_like(self.count).index_add_(0, labels, gates * seen)
        mean = total / count.clamp_min(1)  # (K, C)
        deviation = (gates - mean[labels]).square() * seen
        squares = torch.zeros_like(self.count).index_add_(0, labels, deviation)
        merged = self.count + count
        moved = mean - self.mean
        self.squares += squares + moved.square() * self.count * count / merged.clamp_min(1)
        self.mean += moved * count / merged.clamp_min(1)
        self.count = merged
        self.saturated += float(((gates > SATURATED) * seen).sum())
        self.closed += float(((gates < CLOSED) * seen).sum())
        kept = gates[seen > 0].clamp(EDGES[0], EDGES[-1])
        self.histogram += np.histogram(kept.numpy(), EDGES)[0]

    def result(self) -> LayerGates:
        """What was gathered."""
        count, mean, squares = (t.numpy() for t in (self.count, self.mean, self.squares))
        num = count.sum(0)  # (K, C) -> (C,)
        with np.errstate(invalid="ignore", divide="ignore"):  # nan for a channel never seen
            all_mean = (count * mean).sum(0) / num
            within, between = squares.sum(0), (count * (mean - all_mean) ** 2).sum(0)
            all_std = np.sqrt((within + between) / num)
            std = np.sqrt(squares / count)
        was_seen = num > 0
        return LayerGates(
            mean=np.where(count > 0, mean, np.nan),
            std=std,
            all_mean=all_mean,
            all_std=all_std,
            saturated=fraction(self.saturated, num.sum()),
            closed=fraction(self.closed, num.sum()),
            constant=fraction(float((all_std[was_seen] < CONSTANT_STD).sum()), was_seen.sum()),
            between=between_share(count[:, was_seen], within[was_seen], between[was_seen]),
            histogram=self.histogram,
        )


def fraction(part: float, whole: float) -> float:
    """part / whole; nan of nothing."""
    return float(part / whole) if whole else float("nan")


def between_share(count: Array, within: Array, between: Array) -> float:
    """The share of variance between classes, from sums of squares; (K, C), (C,), (C,).

    Epsilon squared (Kelley, "An Unbiased Correlation Ratio Measure", 1935): 0 on average where
    classes mean nothing, which the plain share is not.
    """
    num, num_classes = count.sum(0), (count > 0).sum(0)
    total = float((within + between).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = (num_classes - 1) * within / (num - num_classes)
    usable = num > num_classes
    if not usable.any() or total <= 1e-12 * num.sum():  # rounding, no variance
        return float("nan")
    return max(0.0, float((between - noise)[usable].sum() / (within + between)[usable].sum()))
