"""Pictures of an evaluation: the confusion matrix, the reliability diagram, the corruptions."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from senet_train.commands.evaluate.corruptions import NUM_SEVERITIES
from senet_train.commands.evaluate.evaluation import Evaluation
from senet_train.commands.evaluate.score import Bin, Confusion, CorruptionScore
from senet_train.figures import BLUE, GREY, INK, PAPER, Picture, drawable, render_picture

MOST_NUMBERS = 20  # classes up to which each cell has its number
MOST_NAMES = 60  # classes up to which each row has its class name
LONGEST_NAME = 24


CONFUSION_CAPTION = (
    "Of each class's images (a row), the share in percent that were given each class (a column)."
)
RELIABILITY_CAPTION = (
    "Accuracy of the images of which the network was about as sure; on the dashed line it would "
    "be right as often as it says. Below: how many images there are of each."
)
CORRUPTIONS_CAPTION = "Test top-1, in percent, by corruption and severity."


def draw_pictures(evaluation: Evaluation) -> list[Picture]:
    """The pictures of one evaluation."""
    score = evaluation.score
    pictures = [
        render_picture("confusion", CONFUSION_CAPTION, lambda: draw_confusion(score.confusion)),
        render_picture("reliability", RELIABILITY_CAPTION, lambda: draw_reliability(score.bins)),
    ]
    if rows := evaluation.corruptions:
        pictures.append(
            render_picture("corruptions", CORRUPTIONS_CAPTION, lambda: draw_corruptions(rows))
        )
    return pictures


def draw_confusion(confusion: Confusion) -> Figure:
    """The shares of each row; a class without images, which was only predicted, is an empty row."""
    names = [drawable(name)[:LONGEST_NAME] for name in confusion.classes]
    totals = confusion.counts.sum(1, keepdims=True)
    shares = 100 * confusion.counts / np.maximum(totals, 1)
    side = min(3 + 0.35 * len(names), 8)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    draw_cells(axes, shares, numbers=len(names) <= MOST_NUMBERS)
    if len(names) <= MOST_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    return figure


def draw_cells(axes: Axes, percent: NDArray[np.float64], *, numbers: bool) -> None:
    """A cell for each value, darker the higher it is, with its number if `numbers` is true."""
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, interpolation="nearest", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if not numbers:
        return
    for (row, column), value in np.ndenumerate(percent):
        if round(value) >= 1:
            colour = PAPER if value > 60 else INK
            axes.text(
                column, row, str(round(value)), ha="center", va="center", fontsize=7, color=colour
            )


def draw_reliability(bins: list[Bin]) -> Figure:
    """Accuracy by confidence, and the number of images by confidence."""
    figure = Figure(figsize=(5, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    lefts, widths = [bin.low for bin in bins], [bin.high - bin.low for bin in bins]
    style = {"align": "edge", "edgecolor": PAPER, "linewidth": 0.8}
    upper.bar(lefts, [bin.accuracy for bin in bins], widths, color=BLUE, **style)
    upper.plot(
        [bin.confidence for bin in bins],
        [bin.accuracy for bin in bins],
        linestyle="none",
        marker="o",
        markersize=4,
        markerfacecolor=PAPER,
        markeredgecolor=INK,
    )
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2)
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1.02)
    lower.bar(lefts, [bin.num_images for bin in bins], widths, color=GREY, **style)
    lower.set_ylabel("images")
    lower.set_xlabel("probability of the likeliest class")
    lower.set_xlim(0, 1)
    return figure


def draw_corruptions(rows: list[CorruptionScore]) -> Figure:
    """A row for each corruption, a column for each severity."""
    figure = Figure(figsize=(6, 0.8 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    draw_cells(axes, 100 * np.array([row.top1 for row in rows]), numbers=True)
    axes.set_xticks(range(NUM_SEVERITIES), [str(i + 1) for i in range(NUM_SEVERITIES)])
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_xlabel("severity")
    return figure
