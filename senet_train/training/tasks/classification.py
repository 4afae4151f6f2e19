"""Which of several classes an image is of."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.config.schema import Config
from senet_train.data import SOURCES
from senet_train.data.images import ClassImages
from senet_train.data.loaders import Batch
from senet_train.networks.bind import bind_network
from senet_train.runs.metrics import Metrics
from senet_train.runs.predictions import write_class_predictions
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner
from senet_train.training.progress import Tally, row_of
from senet_train.training.tasks.mistakes import write_mistakes
from senet_train.training.tasks.task import Task


class ImageClassifier(Learner):
    """Its network maps images (B, 3, H, W) to logits (B, K)."""

    kind, score = Metrics, Metrics.score
    final_metrics = ("val_top1", "test_top1", "test_loss")

    def new_tally(self, part: str) -> Tally:
        return class_tally()

    def learn(self, batch: Batch) -> Tensor:
        images, labels, _ = batch
        logits = self.network(images).float()  # (B, 3, H, W) -> (B, K)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.optim.label_smoothing)
        self.progress.train.add(class_counts(loss.detach() * len(labels), logits.detach(), labels))
        return loss

    def evaluate(self, batch: Batch, part: str) -> None:
        """Without smoothing."""
        images, labels, indices = batch
        logits: Tensor = self.network(images).float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self.tally[part].add(class_counts(loss, logits, labels))
        if part == "test":
            self.test_batches.append((indices.cpu(), logits.cpu()))

    def rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        """Images right, then the loss: as a count, accuracies that are equal stay so."""
        return round(means["val_top1"] * num_images), -means["val_loss"]


def class_tally() -> Tally:
    """Of the loss, top-1 hits, top-5 hits and images."""
    return Tally(torch.zeros(4, dtype=torch.float64), class_means)


def class_counts(loss_sum: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """A batch's: the summed loss (), logits (B, K), labels (B,) -> (4,)."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (B, K) -> (B, 5)
    hits = best == labels[:, None]  # (B, 5)
    return row_of(loss_sum, hits[:, 0].sum(), hits.sum(), len(labels), device=logits.device)


def class_means(sums: Tensor) -> dict[str, float]:
    """Over all images."""
    loss, top1, top5, images = sums.tolist()
    return {"loss": loss / images, "top1": top1 / images, "top5": top5 / images}


def refuse_nothing(config: Config) -> None:
    """Whatever can be configured can be trained."""


def keep(
    learner: ImageClassifier,
    folder: Path,
    journal: Journal,
    test: ClassImages,
    class_names: Sequence[str],
    epoch: int,
) -> None:
    """The predictions, the confusion matrix and the surest mistakes."""
    logits = learner.test_answers()
    write_class_predictions(folder, logits, test.labels, test.ids)
    write_mistakes(journal, logits, test, class_names, epoch)


CLASSIFICATION = Task(
    "classification", bind_network, SOURCES, ImageClassifier, refuse_nothing, keep
)
