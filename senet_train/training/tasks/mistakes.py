"""The mistakes of a trained classifier, for TensorBoard: the confusion matrix, and some images.

Shapes: N test images, K classes, H = W = image_size.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from senet_train.data.images import Images
from senet_train.training.callbacks.journal import Journal

MOST_SHOWN = 16
LONGEST_NAME = 16
MOST_CLASSES = 200  # of a confusion matrix: the picture has some four pixels for each


def write_mistakes(
    journal: Journal, logits: Tensor, test: Images, class_names: Sequence[str], epoch: int
) -> None:
    """Draw the confusion matrix and the surest mistakes from the logits (N, K) of the test set."""
    from senet_train.figures import figure_pixels
    from senet_train.training.pictures.classes import draw_confusion, draw_gallery

    every = class_names_of(logits, class_names)
    names, labels, predicted = every, test.labels, logits.argmax(1)
    num_right = int((labels == predicted).sum())
    if len(names) > MOST_CLASSES:  # a matrix of all would grow with their square
        names, labels, predicted = most_confused(names, labels, predicted)
    matrix = confusion(labels, predicted, len(names))
    draw = partial(draw_confusion, matrix, names, num_right)
    journal.write_picture("test/confusion", figure_pixels(draw), epoch)
    wrong = surest_mistakes(logits, test.labels)
    if not len(wrong):
        return
    [pixels] = test.read([wrong])
    captions = captions_of(logits[wrong], test.labels[wrong], every)
    num_wrong = len(test.labels) - num_right
    which = f"the {MOST_SHOWN} surest of" if num_wrong > MOST_SHOWN else "all"
    title = f"{which} {num_wrong:,} misclassified images"
    draw = partial(draw_gallery, pixels.numpy(), captions, title)
    journal.write_picture("test/misclassified", figure_pixels(draw), epoch)


def class_names_of(logits: Tensor, class_names: Sequence[str]) -> list[str]:
    """The name of every logit, also of those without a class in the data."""
    unused = range(len(class_names), logits.shape[1])
    return [*class_names, *(f"unused {number}" for number in unused)]


def most_confused(
    names: Sequence[str], labels: Tensor, predicted: Tensor
) -> tuple[list[str], Tensor, Tensor]:
    """The classes with the most mistakes, and labels and predictions (N,) among these and others.

    A mistake counts for the true class and for the predicted one.
    """
    wrong = labels != predicted
    mistakes = torch.bincount(torch.cat([labels[wrong], predicted[wrong]]), minlength=len(names))
    chosen = mistakes.argsort(descending=True, stable=True)[: MOST_CLASSES - 1].sort().values
    place = torch.full((len(names),), len(chosen))
    place[chosen] = torch.arange(len(chosen))
    others = f"{len(names) - len(chosen):,} others"
    return [*(names[i] for i in chosen.tolist()), others], place[labels], place[predicted]


def confusion(labels: Tensor, predicted: Tensor, num_classes: int) -> NDArray[np.int64]:
    """The number of images by true and by predicted class, (N,) twice -> (K, K)."""
    pairs = num_classes * labels + predicted
    counts = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
    table: NDArray[np.int64] = counts.numpy()
    return table


def surest_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """At most MOST_SHOWN indices of misclassified images, the highest probability first."""
    probability, predicted = logits.softmax(1).max(1)
    wrong = (predicted != labels).nonzero()[:, 0]
    order = probability[wrong].argsort(descending=True, stable=True)
    return wrong[order[:MOST_SHOWN]]


def captions_of(logits: Tensor, labels: Tensor, names: Sequence[str]) -> list[str]:
    """The true class of each image, the predicted class and its probability."""
    probability, predicted = logits.softmax(1).max(1)
    short = [name[:LONGEST_NAME] for name in names]
    return [
        f"is {short[true]}\nsaid {short[taken]}\nat {chance:.2f}"
        for true, taken, chance in zip(
            labels.tolist(), predicted.tolist(), probability.tolist(), strict=True
        )
    ]
