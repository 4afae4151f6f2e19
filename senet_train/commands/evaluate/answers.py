"""What the network says of every image, a few numbers each; one pass over the images.

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
from senet_train.commands.progress_bar import counted
from senet_train.data.image_files import decoders_silent
from senet_train.data.images import FileImages, Images, workers_explained
from senet_train.keyed import keyed_permutation
from senet_train.runs.trained.forward import Forward


@dataclass(frozen=True)
class Answers:
    """(N,) each: the label, the likeliest class and its probability, and how well that fits."""

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


def ask(forward: Forward, images: Images, *, corruptions: bool) -> tuple[Answers, list[list[int]]]:
    """The answers to the images, and the number right by corruption and severity (or nothing).

    An image is decoded once, however often it is corrupted. Raises RunError for one that cannot be.
    """
    rows: list[list[Tensor]] = []
    hits = [[0] * NUM_SEVERITIES for _ in CORRUPTIONS] if corruptions else []
    workers = images.workers if isinstance(images, FileImages) else 0
    bar = counted(len(images.labels), "evaluated")
    with bar as count, workers_explained(workers), decoders_silent():
        for pixels, batch in batches(images, forward.batch_size):
            labels = images.labels[batch]
            rows.append(answers_to(forward(pixels), labels))
            ids = [images.ids[i] for i in batch.tolist()]
            for counts, corruption in zip(hits, CORRUPTIONS, strict=False):
                for severity in range(1, NUM_SEVERITIES + 1):
                    logits = forward(corrupted(pixels, corruption, severity, ids))
                    counts[severity - 1] += int((logits.argmax(1) == labels).sum())
            count(len(batch))
    return Answers(*(torch.cat(column).numpy() for column in zip(*rows, strict=True))), hits


def batches(images: Images, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels (B, H, W, 3) and indices (B,), in the order in which the run was tested."""
    order = keyed_permutation(len(images.labels), "evaluation").split(batch_size)
    yield from zip(images.read(order), order, strict=True)


def answers_to(logits: Tensor, labels: Tensor) -> list[Tensor]:
    """Logits (B, K), labels (B,) -> the columns of Answers, (B,) each."""
    confidence, predicted = logits.softmax(1).max(1)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, 5)
    loss = F.cross_entropy(logits, labels, reduction="none")
    return [labels, predicted, confidence, (best == labels[:, None]).any(1), loss]
