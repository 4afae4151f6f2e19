"""Runs judged by a score of the test set that is not the one of their best epochs (`--score`)."""

from dataclasses import replace

from senet_train.compare.collect import Run
from senet_train.errors import InputError, listed
from senet_train.runs.metrics import ScoredMetrics

PART = "test_"


def judged_by(run: Run, name: str) -> Run:
    """The same run, judged by the score `test_<key>`. Raises InputError if it lacks that."""
    metrics = run.record.metrics
    if name not in scores_of(metrics):
        raise InputError(
            f"--score {name}: {run.path / 'result.json'} has no such score, it has "
            f"{listed(scores_of(metrics))}: choose one that all runs have, or train it anew with "
            "overwrite=true"
        )
    judged = metrics.judged_by_score(name.removeprefix(PART))
    epoch_by = metrics.score.title if metrics.score != judged.score else ""
    return replace(run, record=replace(run.record, metrics=judged), epoch_by=epoch_by)


def scores_of(metrics: ScoredMetrics) -> list[str]:
    """The metrics of the test set that are scores: runs can be judged by them."""
    return [name for name in metrics.values() if name.startswith(PART) and is_score(metrics, name)]


def is_score(metrics: ScoredMetrics, name: str) -> bool:
    """Whether a metric of the test set is a score."""
    try:
        metrics.score_called(name.removeprefix(PART))
    except KeyError:
        return False
    return True
