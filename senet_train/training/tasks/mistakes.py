"""What a trained network gets wrong, for TensorBoard: the confusion matrix, a few images.

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
    """Draw both from the logits (N, K) of the test images; without a mistake no image is shown."""
    from senet_train.figures import drawn
    from senet_train.training.pictures.classes import draw_confusion, draw_gallery

    spare = range(len(class_names), logits.shape[1])  # logits that no class of the data has
    names = [*class_names, *(f"unused {number}" for number in spare)]
    matrix = confusion(test.labels, logits.argmax(1), len(names))
    journal.write_picture("test/confusion", drawn(partial(draw_confusion, matrix, names)), epoch)
    wrong = surest_mistakes(logits, test.labels)
    if not len(wrong):
        return
    [pixels] = test.read([wrong])
    captions = captions_of(logits[wrong], test.labels[wrong], names)
    num_wrong = len(test.labels) - int(matrix.trace())
    which = f"the {MOST_SHOWN} surest of" if num_wrong > MOST_SHOWN else "all"
    title = f"{which} {num_wrong:,} misclassified images"
    draw = partial(draw_gallery, pixels.numpy(), captions, title)
    journal.write_picture("test/misclassified", drawn(draw), epoch)


def confusion(labels: Tensor, said: Tensor, num_classes: int) -> NDArray[np.int64]:
    """Images by true class and by what was said of them, (N,) twice -> (K, K)."""
    pairs = num_classes * labels + said
    counts = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
    table: NDArray[np.int64] = counts.numpy()
    return table


def surest_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """The misclassified images that the network was surest of, at most MOST_SHOWN indices."""
    sureness, said = logits.softmax(1).max(1)
    wrong = (said != labels).nonzero()[:, 0]
    order = sureness[wrong].argsort(descending=True, stable=True)
    return wrong[order[:MOST_SHOWN]]


def captions_of(logits: Tensor, labels: Tensor, names: Sequence[str]) -> list[str]:
    """What each image is, what it was taken for, and with which probability."""
    sureness, said = logits.softmax(1).max(1)
    short = [name[:LONGEST_NAME] for name in names]
    return [
        f"is {short[true]}\nsaid {short[taken]}\nat {chance:.2f}"
        for true, taken, chance in zip(
            labels.tolist(), said.tolist(), sureness.tolist(), strict=True
        )
    ]
