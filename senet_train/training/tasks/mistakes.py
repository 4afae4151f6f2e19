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


def write_mistakes(
    journal: Journal, logits: Tensor, test: Images, class_names: Sequence[str], epoch: int
) -> None:
    """Draw the confusion matrix and the surest mistakes from the logits (N, K) of the test set."""
    from senet_train.figures import figure_pixels
    from senet_train.training.pictures.classes import draw_confusion, draw_gallery

    unused = range(len(class_names), logits.shape[1])  # logits without a class in the data
    names = [*class_names, *(f"unused {number}" for number in unused)]
    matrix = confusion(test.labels, logits.argmax(1), len(names))
    journal.write_picture(
        "test/confusion", figure_pixels(partial(draw_confusion, matrix, names)), epoch
    )
    wrong = surest_mistakes(logits, test.labels)
    if not len(wrong):
        return
    [pixels] = test.read([wrong])
    captions = captions_of(logits[wrong], test.labels[wrong], names)
    num_wrong = len(test.labels) - int(matrix.trace())
    which = f"the {MOST_SHOWN} surest of" if num_wrong > MOST_SHOWN else "all"
    title = f"{which} {num_wrong:,} misclassified images"
    draw = partial(draw_gallery, pixels.numpy(), captions, title)
    journal.write_picture("test/misclassified", figure_pixels(draw), epoch)


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
