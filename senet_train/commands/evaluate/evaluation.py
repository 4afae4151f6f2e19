"""The evaluation of a run on a test set: all that is printed and written."""

import logging
from dataclasses import dataclass

from senet_train.commands.evaluate.corruptions import CORRUPTIONS
from senet_train.commands.evaluate.find_test_set import find_test_set
from senet_train.commands.evaluate.predictions import predict_images
from senet_train.commands.evaluate.requested import RequestedImages
from senet_train.commands.evaluate.score import (
    ClassifierQuality,
    CorruptionScore,
    corruption_scores,
    quality_of,
)
from senet_train.runs.trained.forward import Forward
from senet_train.runs.trained.load import Trained

log = logging.getLogger("senet_train")


# Float32 here and bfloat16 in training answer a few images differently: of SE-ResNet-20 on
# CIFAR-10-JPEG, 4 of 10,000 more or less are right; of its run on digits none of 359.
TOLERANCE = 0.005  # of the images


@dataclass(frozen=True)
class Evaluation:
    """The results; `recorded_top1` is from the run's record, None for other images than its own.

    `test_flips` are the run's own: its answer to an image takes in the mirror.
    """

    run: str
    label: str
    test_set: str
    device: str
    recorded_top1: float | None
    recorded_precision: str
    test_flips: str
    score: ClassifierQuality
    corruptions: list[CorruptionScore]


def evaluate_run(
    run: Trained, asked: RequestedImages, *, batch_size: int | None, corruptions: bool
) -> Evaluation:
    """Evaluate on the images that are asked for. Raises InputError, RunError for a bad image."""
    test_set = find_test_set(run, asked)
    forward = Forward.of(run, batch_size)
    predictions, hits = predict_images(forward, test_set.images, corruptions=corruptions)
    found = quality_of(predictions, run.class_names)
    recorded = run.record.metrics.test_score if run.record and test_set.is_own else None
    if recorded is not None and num_images_apart(recorded, found) > tolerance_of(found):
        log.warning(
            "warning: %d images are apart from the record, more than rounding explains: the "
            "images, or the code, are not those of the run",
            num_images_apart(recorded, found),
        )
    return Evaluation(
        run=str(run.path),
        label=run.label,
        test_set=test_set.name,
        device=str(forward.device),
        recorded_top1=recorded,
        recorded_precision=run.record.environment.precision if run.record else "",
        test_flips=run.config.data.test_flips,
        score=found,
        corruptions=corruption_scores(hits, [c.name for c in CORRUPTIONS], found),
    )


def num_images_apart(recorded: float, found: ClassifierQuality) -> int:
    """By how many correct images the record and this evaluation differ."""
    return abs(round((recorded - found.top1.value) * found.num_images))


def tolerance_of(found: ClassifierQuality) -> float:
    """How many images may differ by rounding: one or more."""
    return max(1, TOLERANCE * found.num_images)
