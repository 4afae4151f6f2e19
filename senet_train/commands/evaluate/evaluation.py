"""A run on a test set, evaluated: what is printed and written."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from senet_train.commands.evaluate.answers import ask
from senet_train.commands.evaluate.corruptions import CORRUPTIONS
from senet_train.commands.evaluate.score import (
    ClassifierQuality,
    CorruptionScore,
    corruption_scores,
    quality_of,
)
from senet_train.commands.evaluate.which_images import find_test_set
from senet_train.runs.trained.forward import Forward
from senet_train.runs.trained.load import Trained

log = logging.getLogger("senet_train")


# Float32 here and bfloat16 in training answer a few images differently: of SE-ResNet-20 on
# CIFAR-10-JPEG, 4 of 10,000 more or less are right; of its run on digits none of 359.
MOST_APART = 0.005


@dataclass(frozen=True)
class Evaluation:
    """`recorded_top1` is what the run's record says of the same images, None for others."""

    run: str
    label: str
    test_set: str
    device: str
    recorded_top1: float | None
    recorded_precision: str
    score: ClassifierQuality
    corruptions: list[CorruptionScore]


def evaluate_run(
    run: Trained, words: Sequence[str], *, batch_size: int | None, corruptions: bool
) -> Evaluation:
    """Evaluate on what `words` ask for. Raises InputError, RunError for an unreadable image."""
    test_set = find_test_set(run, words)
    forward = Forward.of(run, batch_size)
    answers, hits = ask(forward, test_set.images, corruptions=corruptions)
    found = quality_of(answers, run.class_names)
    recorded = run.record.metrics.test_score if run.record and test_set.is_own else None
    if recorded is not None and images_apart(recorded, found) > most_apart(found):
        log.warning(
            "warning: %d images are apart from the record, more than rounding explains: the "
            "images, or the code, are not those of the run",
            images_apart(recorded, found),
        )
    return Evaluation(
        run=str(run.path),
        label=run.label,
        test_set=test_set.name,
        device=str(forward.device),
        recorded_top1=recorded,
        recorded_precision=run.record.environment.precision if run.record else "",
        score=found,
        corruptions=corruption_scores(hits, [c.name for c in CORRUPTIONS], found),
    )


def images_apart(recorded: float, found: ClassifierQuality) -> int:
    """By how many right answers the record and this evaluation differ."""
    return abs(round((recorded - found.top1.value) * found.num_images))


def most_apart(found: ClassifierQuality) -> float:
    """As many as rounding may change, one at least."""
    return max(1, MOST_APART * found.num_images)
