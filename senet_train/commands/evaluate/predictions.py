"""The network's prediction for every image, a few numbers each, in one pass over the images.

Shapes: N images, B batch, H height, W width, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from senet_train.commands.evaluate.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupted
from senet_train.commands.progress_bar import progress_counter
from senet_train.data.file_reader import workers_explained
from senet_train.data.image_files import decoders_silent
from senet_train.data.images import FileImages, Images
from senet_train.keyed import keyed_permutation
from senet_train.runs.trained.forward import Forward


@dataclass(frozen=True)
class Predictions:
    """(N,) each: the label, the likeliest class and its probability, and how well they fit."""

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    in_top5: NDArray[np.bool_]
    loss: NDArray[np.float32]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(N,) whether the likeliest class is the label."""
        found: NDArray[np.bool_] = self.predicted == self.labels
        return found


def predict_images(
    forward: Forward, images: Images, *, corruptions: bool
) -> tuple[Predictions, list[list[int]]]:
    """The predictions for the images, and how many are correct by corruption and severity.

    Without `corruptions` the second is empty. An image is decoded once, however often it is
    corrupted. Raises RunError for an image that cannot be decoded.
    """
    rows: list[list[Tensor]] = []
    hits = [[0] * NUM_SEVERITIES for _ in CORRUPTIONS] if corruptions else []
    workers = images.reader.workers if isinstance(images, FileImages) else 0
    bar = progress_counter(len(images.labels), "evaluated")
    with bar as count, workers_explained(workers), decoders_silent():
        for pixels, batch in batches(images, forward.batch_size):
            labels = images.labels[batch]
            rows.append(predictions_of(forward(pixels), labels))
            ids = [images.ids[i] for i in batch.tolist()]
            for counts, corruption in zip(hits, CORRUPTIONS, strict=False):
                for severity in range(1, NUM_SEVERITIES + 1):
                    logits = forward(corrupted(pixels, corruption, severity, ids))
                    counts[severity - 1] += int((logits.argmax(1) == labels).sum())
            count(len(batch))
    return Predictions(*(torch.cat(column).numpy() for column in zip(*rows, strict=True))), hits


def batches(images: Images, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pixels (B, H, W, 3) and indices (B,), in the order in which the run was tested."""
    order = keyed_permutation(len(images.labels), "evaluation").split(batch_size)
    yield from zip(images.read(order), order, strict=True)


def predictions_of(logits: Tensor, labels: Tensor) -> list[Tensor]:
    """Logits (B, K), labels (B,) -> the fields of Predictions, (B,) each."""
    confidence, predicted = logits.softmax(1).max(1)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, 5)
    loss = F.cross_entropy(logits, labels, reduction="none")
    return [labels, predicted, confidence, (best == labels[:, None]).any(1), loss]
