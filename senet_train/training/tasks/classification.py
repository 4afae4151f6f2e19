"""task=classification: the class of an image.

Shapes: B batch, K classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.data.find import SOURCES
from senet_train.data.images import ClassImages
from senet_train.data.loaders import Batch
from senet_train.networks.bind import bind_network
from senet_train.networks.mirror import logits_of_test
from senet_train.runs.metrics import BALANCED_ACCURACY, MACRO_F1, TOP1, AnyMetrics, Metrics
from senet_train.runs.predictions import write_class_predictions
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner
from senet_train.training.progress import BatchSums, MetricSums, batch_sums
from senet_train.training.tasks.class_loss import class_loss, class_weights, refuse_loss
from senet_train.training.tasks.class_scores import (
    counts_by_class,
    macro_means,
    per_class_of,
    ranking_means,
)
from senet_train.training.tasks.mistakes import write_mistakes
from senet_train.training.tasks.task import Task


class ImageClassifier(Learner):
    """Its network maps images (B, 3, H, W) to logits (B, K)."""

    kind = Metrics
    final_metrics = ("val_top1", "test_top1", "test_loss")

    def see_training(self, labels: Tensor) -> None:
        """Weigh the classes by their training labels (N,), if asked to."""
        if self.optim.class_weights != "none":
            counts = labels.cpu().bincount(minlength=self.num_classes)
            self.class_weights = class_weights(counts, self.optim)

    def new_sums(self, part: str) -> MetricSums:
        if part != "val":  # of the test set all predictions are kept
            return class_sums()
        sums = torch.zeros(4 + 3 * self.num_classes, dtype=torch.float64)
        return MetricSums(sums, class_and_macro_means)

    def training_loss(self, batch: Batch) -> Tensor:
        """Of mixed images the labels are shares (B, K): the class of the largest one is counted."""
        images, labels, _ = batch
        logits = self.in_training(images).float()  # (B, 3, H, W) -> (B, K)
        loss = class_loss(logits, labels, self.class_weights, self.optim)
        main = labels if labels.ndim == 1 else labels.argmax(1)
        sums = class_counts(loss.detach() * len(labels), logits.detach(), main)
        self.progress.train.update(sums)
        return loss

    def evaluate(self, batch: Batch, part: str) -> None:
        """The loss is without label smoothing."""
        images, labels, indices = batch
        logits = logits_of_test(self.network, images, self.test_flips)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        if part == "test":
            self.sums[part].update(class_counts(loss, logits, labels))
            self.test_batches.append((indices, logits.cpu()))
        else:
            by_class = counts_by_class(logits.argmax(1), labels, self.num_classes)
            self.sums[part].update(class_counts(loss, logits, labels, by_class))

    def epoch_rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        """The number of correct images, then the loss. Counts do not differ by rounding.

        Of another score than top-1, its value, which follows from counts.
        """
        if self.score != TOP1:
            return means[f"val_{self.score.key}"], -means["val_loss"]
        return round(means["val_top1"] * num_images), -means["val_loss"]

    def metrics(self, best_epoch: int) -> Metrics:
        """The metrics for the record, once the network has been tested; not yet `with_test`."""
        found = super().metrics(best_epoch)
        assert isinstance(found, Metrics)
        rows = ((self.progress.history[best_epoch], ""), (self.progress.history[-1], "_last"))
        macro = {
            f"val_{score.key}{end}": row[f"val_{score.key}"]
            for row, end in rows
            for score in (MACRO_F1, BALANCED_ACCURACY)
        }
        return replace(found, judged_by=self.score.key, macro=macro)

    def with_test(
        self, metrics: AnyMetrics, labels: Tensor, class_names: Sequence[str]
    ) -> AnyMetrics:
        """The metrics with those of the classes of the test set."""
        assert isinstance(metrics, Metrics)
        logits = self.test_predictions()
        counts = counts_by_class(logits.argmax(1), labels, self.num_classes)
        means = macro_means(counts) | ranking_means(logits, labels)
        macro = metrics.macro | {f"test_{name}": value for name, value in means.items()}
        return replace(metrics, macro=macro, per_class=per_class_of(counts, class_names))


def class_sums() -> MetricSums:
    """Empty sums of the loss, top-1 hits, top-5 hits and images."""
    return MetricSums(torch.zeros(4, dtype=torch.float64), class_means)


def class_counts(loss_sum: Tensor, logits: Tensor, labels: Tensor, *further: Tensor) -> BatchSums:
    """The sums of a batch from its summed loss (), logits (B, K) and labels (B,).

    `further` counts come after those of hits.
    """
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, K) -> (B, 5)
    hits = best == labels[:, None]  # (B, 5)
    return batch_sums(loss_sum, len(labels), hits[:, 0].sum(), hits.sum(), *further)


def class_means(sums: Tensor) -> dict[str, float]:
    """The means over all images."""
    loss, top1, top5, images = sums.tolist()
    return {"loss": loss / images, "top1": top1 / images, "top5": top5 / images}


def class_and_macro_means(sums: Tensor) -> dict[str, float]:
    """The means over all images, and those over classes of `counts_by_class`."""
    loss_and_hits, by_class, images = sums[:3], sums[3:-1], sums[-1:]
    return class_means(torch.cat([loss_and_hits, images])) | macro_means(by_class)


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
    refuse_loss,
    write_predictions,
    draw,
)
