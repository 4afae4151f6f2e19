"""Would the differences hold on new images? Each arm's interval over resampled images and seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.blocks import RunsOfArm, score_of
from senet_train.compare.collect import Run
from senet_train.compare.statistics.bootstrap import (
    image_weights,
    interval_of,
    resampled,
    resampled_miou,
)
from senet_train.errors import InputError
from senet_train.runs.metrics import MIOU, TOP1


def new_images(arms: Sequence[RunsOfArm], control: RunsOfArm) -> dict[str, tuple[float, float]]:
    """The bootstrap's interval of every arm that shares a seed with the control, by its folder.

    Empty where the score of resampled images cannot be computed.
    """
    score = score_of(control)
    if not score.of_any_images:
        return {}
    runs = [run for arm in (control, *arms) for run in arm.runs.values()]
    means = dict(zip((run.path for run in runs), RESAMPLED[score.key](runs).T, strict=True))
    intervals = {}
    for arm in arms:
        shared = sorted(arm.runs.keys() & control.runs.keys())
        paired = [means[arm.runs[s].path] - means[control.runs[s].path] for s in shared]
        if paired:
            intervals[arm.folder] = interval_of(np.stack(paired, 1))
    return intervals


def top1_resampled(runs: Sequence[Run]) -> NDArray[np.float32]:
    """Each run's share of right images on each sample, (num_samples, num_runs)."""
    num_images = len(runs[0].correct)
    correct = np.stack([same_length(run, num_images) for run in runs])
    return resampled(correct, image_weights(num_images))


def miou_resampled(runs: Sequence[Run]) -> NDArray[np.float32]:
    """Each run's mean intersection over union on each sample, (num_samples, num_runs)."""
    counts = [run.overlaps() for run in runs]
    num_images = len(counts[0][0])
    for run, (hits, _) in zip(runs, counts, strict=True):
        refuse_other_images(run.path / "overlaps.npz", len(hits), num_images)
    weights = image_weights(num_images)
    columns = [resampled_miou(hits, unions, weights) for hits, unions in counts]
    return np.stack(columns, 1)


# By the score's key.
RESAMPLED = {TOP1.key: top1_resampled, MIOU.key: miou_resampled}


def same_length(run: Run, num_images: int) -> NDArray[np.bool_]:
    """Which of the test images a run got right. Raises InputError for another number of them."""
    right = run.correct
    refuse_other_images(run.path / "correct.npz", len(right), num_images)
    return right


def refuse_other_images(file: Path, present: int, num_images: int) -> None:
    """Raises InputError where a run has another number of test images than its control."""
    if present != num_images:
        raise InputError(
            f"{file} has {present} images and its control {num_images}: compare runs of one "
            "test set"
        )
