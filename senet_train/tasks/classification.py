"""Which of several classes an image is of."""

from collections.abc import Sequence
from pathlib import Path

from senet_train.classifier import ImageClassifier
from senet_train.config import Config
from senet_train.data import SOURCES
from senet_train.data.images import ClassImages
from senet_train.journal import Journal
from senet_train.mistakes import write_mistakes
from senet_train.networks import bind_network
from senet_train.predictions import write_predictions
from senet_train.tasks.task import Task


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
    write_predictions(folder, logits, test.labels, test.ids)
    write_mistakes(journal, logits, test, class_names, epoch)


CLASSIFICATION = Task(
    "classification", bind_network, SOURCES, ImageClassifier, refuse_nothing, keep
)
