"""task=classification: the class of an image.

Shapes: B batch, K classes.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.config.schema import Config
from senet_train.data.find import SOURCES
from senet_train.data.images import ClassImages
from senet_train.data.loaders import Batch
from senet_train.networks.bind import bind_network
from senet_train.runs.metrics import Metrics
from senet_train.runs.predictions import write_class_predictions
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner
from senet_train.training.progress import BatchSums, MetricSums, batch_sums
from senet_train.training.tasks.mistakes import write_mistakes
from senet_train.training.tasks.task import Task


class ImageClassifier(Learner):
    """Its network maps images (B, 3, H, W) to logits (B, K)."""

    kind, score = Metrics, Metrics.score
    final_metrics = ("val_top1", "test_top1", "test_loss")

    def new_sums(self, part: str) -> MetricSums:
        return class_sums()

    def training_loss(self, batch: Batch) -> Tensor:
        """Of mixed images the labels are shares (B, K): the class of the largest one is counted."""
        images, labels, _ = batch
        logits = self.in_training(images).float()  # (B, 3, H, W) -> (B, K)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.optim.label_smoothing)
        main = labels if labels.ndim == 1 else labels.argmax(1)
        sums = class_counts(loss.detach() * len(labels), logits.detach(), main)
        self.progress.train.update(sums)
        return loss

    def evaluate(self, batch: Batch, part: str) -> None:
        """The loss is without label smoothing."""
        images, labels, indices = batch
        logits: Tensor = self.network(images).float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self.sums[part].update(class_counts(loss, logits, labels))
        if part == "test":
            self.test_batches.append((indices, logits.cpu()))

    def epoch_rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        """The number of correct images, then the loss. Counts do not differ by rounding."""
        return round(means["val_top1"] * num_images), -means["val_loss"]


def class_sums() -> MetricSums:
    """Empty sums of the loss, top-1 hits, top-5 hits and images."""
    return MetricSums(torch.zeros(4, dtype=torch.float64), class_means)


def class_counts(loss_sum: Tensor, logits: Tensor, labels: Tensor) -> BatchSums:
    """The sums of a batch from its summed loss (), logits (B, K) and labels (B,)."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, K) -> (B, 5)
    hits = best == labels[:, None]  # (B, 5)
    return batch_sums(loss_sum, len(labels), hits[:, 0].sum(), hits.sum())


def class_means(sums: Tensor) -> dict[str, float]:
    """The means over all images."""
    loss, top1, top5, images = sums.tolist()
    return {"loss": loss / images, "top1": top1 / images, "top5": top5 / images}


def refuse_nothing(config: Config) -> None:
    """Every configuration can be trained."""


def write_predictions(learner: ImageClassifier, folder: Path, test: ClassImages) -> None:
    """Write the likeliest classes of every image."""
    write_class_predictions(folder, learner.test_predictions(), test.labels, test.ids)


def draw(
    learner: ImageClassifier,
    journal: Journal,
    test: ClassImages,
    class_names: Sequence[str],
    epoch: int,
) -> None:
    """Draw the confusion matrix and the surest mistakes."""
    write_mistakes(journal, learner.test_predictions(), test, class_names, epoch)


CLASSIFICATION = Task(
    "classification",
    bind_network,
    SOURCES,
    ImageClassifier,
    refuse_nothing,
    write_predictions,
    draw,
)
