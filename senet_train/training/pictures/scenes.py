"""Test images of segmentation and detection: the truth to the left, the prediction to the right.

Shapes: N images, H height, W width.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from senet_train.figures import BLUE, GREEN, GREY, INK, ORANGE, PAPER

NUM_SHOWN = 8
COLUMNS = 4  # pairs in a row
TILE = 1.15  # inches, the side of an image
GAP, WORDS = 0.08, 0.4
DOTS_PER_INCH = 150
COLOURS = (GREY, BLUE, GREEN, ORANGE)  # of classes, repeated if there are more
LEAST_SCORE = 0.5  # boxes of a lower score are not drawn


def draw_segmentation(
    pixels: NDArray[np.uint8],
    truth: NDArray[np.int64],
    predicted: NDArray[np.uint8],
    class_names: Sequence[str],
) -> Figure:
    """Images (N, H, W, 3) under the colours of the true and the predicted classes, (N, H, W)."""
    figure, pairs = laid_out(min(len(pixels), NUM_SHOWN), class_names)
    for number, (left, right) in enumerate(pairs):
        for axes, classes in ((left, truth[number]), (right, predicted[number])):
            axes.imshow(pixels[number])
            axes.imshow(tinted(classes))
    return figure


def tinted(classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """The class of every pixel (H, W) as a transparent colour, (H, W, 4)."""
    colours = [tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)) for colour in COLOURS]
    table = np.array([[*colour, 0.75] for colour in colours])
    table[0, 3] = 0.0  # the background shows the image
    shown = table[np.where(classes > 0, 1 + (classes - 1) % (len(COLOURS) - 1), 0)]
    return np.asarray(shown)


def draw_detection(
    pixels: NDArray[np.uint8],
    truth: Sequence[Mapping[str, Tensor]],
    predicted: Sequence[Mapping[str, Tensor]],
    class_names: Sequence[str],
) -> Figure:
    """Images (N, H, W, 3) with their true boxes, and the predicted boxes with their scores."""
    figure, pairs = laid_out(min(len(pixels), NUM_SHOWN), class_names)
    for number, (left, right) in enumerate(pairs):
        for axes in (left, right):
            axes.imshow(pixels[number])
        draw_boxes(left, truth[number])
        draw_boxes(right, predicted[number])
    return figure


def draw_boxes(axes: Axes, boxes: Mapping[str, Tensor]) -> None:
    """A frame for each box, in the colour of its class, the highest score on top.

    Whole coordinates are the centres of pixels.
    """
    scores = boxes["scores"].tolist() if "scores" in boxes else [1.0] * len(boxes["labels"])
    rows = zip(scores, boxes["boxes"], boxes["labels"], strict=True)
    for score, box, label in sorted(rows, key=lambda row: row[0]):
        if score < LEAST_SCORE:
            continue
        left, top, right, bottom = (box - 0.5).tolist()
        colour = colour_of(int(label))
        frame = Rectangle((left, top), right - left, bottom - top, fill=False, ec=colour, lw=1.5)
        axes.add_patch(frame)
        if "scores" in boxes:
            label_box = {"facecolor": PAPER, "linewidth": 0, "pad": 0.5}
            words = f"{score:.2f}"
            axes.text(left + 1, top + 1, words, fontsize=5, color=INK, va="top", bbox=label_box)


def colour_of(label: int) -> str:
    """The colour of a class; only the background, 0, is grey."""
    return COLOURS[1 + (label - 1) % (len(COLOURS) - 1)] if label else COLOURS[0]


def laid_out(num_shown: int, class_names: Sequence[str]) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure with a pair of empty axes for each image, and the colours of the classes."""
    num_rows = -(-num_shown // COLUMNS)
    width = COLUMNS * (2 * TILE + 3 * GAP)
    height = num_rows * (TILE + GAP) + WORDS
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    words = "left: what is there; right: what was said."
    figure.text(GAP / width, 1 - 0.2 / height, words, fontsize=9, va="center")
    for place, name in enumerate(class_names[1:], start=1):
        x = (2.9 + 1.1 * place) / width
        figure.text(x, 1 - 0.2 / height, f"■ {name}", color=colour_of(place), va="center")
    pairs = []
    for number in range(num_shown):
        row, column = divmod(number, COLUMNS)
        x = column * (2 * TILE + 3 * GAP) + GAP
        y = height - WORDS - (row + 1) * (TILE + GAP) + GAP
        pair = [
            figure.add_axes((place / width, y / height, TILE / width, TILE / height))
            for place in (x, x + TILE + GAP / 2)
        ]
        for axes in pair:
            axes.set_axis_off()
        pairs.append((pair[0], pair[1]))
    return figure, pairs
