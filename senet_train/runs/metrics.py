"""The metrics of a finished run, for each task. Scores are in 0..1.

`val_*` and `test_*` are of the best epoch, `*_last` of the last one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Discriminator, Tag
from pydantic.dataclasses import dataclass

from senet_train.errors import InputError


@dataclass(frozen=True)
class Score:
    """The metric that runs are compared by: its name in records, as in `val_top1`, and in texts."""

    key: str
    title: str
    of_any_images: bool = True  # whether it can be computed from counts of each image


TOP1 = Score("top1", "top-1")
MIOU = Score("miou", "mIoU")
MAP = Score("map", "mAP", of_any_images=False)
SCORES = (TOP1, MIOU, MAP)
TOP5_FROM = 6  # classes: of fewer, one of the five likeliest is always right


def score_among(columns: Iterable[str]) -> Score:
    """The score whose validation column is in the table. Raises KeyError if there is none."""
    present = set(columns)
    for score in SCORES:
        if f"val_{score.key}" in present:
            return score
    raise KeyError(f"none of {', '.join(f'val_{score.key}' for score in SCORES)}")


EXACT = ConfigDict(extra="forbid")


class ScoredMetrics:
    """Metrics with a score: `val_<key>`, `val_<key>_last` and `test_<key>`."""

    score: ClassVar[Score]

    @property
    def val_score(self) -> float:
        """Of the best epoch."""
        return float(getattr(self, f"val_{self.score.key}"))

    @property
    def val_score_last(self) -> float:
        """Of the last epoch."""
        return float(getattr(self, f"val_{self.score.key}_last"))

    @property
    def test_score(self) -> float:
        """Of the best epoch."""
        return float(getattr(self, f"test_{self.score.key}"))


@dataclass(frozen=True, config=EXACT)
class Metrics(ScoredMetrics):
    """Classification: means over images."""

    score: ClassVar[Score] = TOP1
    val_top1: float
    val_top5: float
    val_loss: float
    val_top1_last: float
    val_loss_last: float
    test_top1: float
    test_top5: float
    test_loss: float
    best_epoch: int


@dataclass(frozen=True, config=EXACT)
class SegmentationMetrics(ScoredMetrics):
    """Segmentation: the mean over classes of intersection over union; means over pixels."""

    score: ClassVar[Score] = MIOU
    val_miou: float
    val_pixels: float  # the share of correct pixels
    val_loss: float
    val_miou_last: float
    val_loss_last: float
    test_miou: float
    test_pixels: float
    test_loss: float
    best_epoch: int


@dataclass(frozen=True, config=EXACT)
class DetectionMetrics(ScoredMetrics):
    """Detection: average precision as defined by COCO, and at an overlap of 0.5 and of 0.75."""

    score: ClassVar[Score] = MAP
    val_map: float
    val_map50: float
    val_map_last: float
    test_map: float
    test_map50: float
    test_map75: float
    best_epoch: int


def metrics_of(
    kind: type["AnyMetrics"],
    history: Sequence[Mapping[str, float]],
    best_epoch: int,
    test_means: Mapping[str, float],
) -> "AnyMetrics":
    """The metrics of type `kind` from the rows of all epochs and the means over the test set."""
    best, last = history[best_epoch], history[-1]
    values: dict[str, Any] = {f"{name}_last": value for name, value in last.items()}
    values |= {**best, **test_means, "best_epoch": best_epoch}
    return kind(**{field.name: values[field.name] for field in fields(kind)})


def of_classifier(metrics: ScoredMetrics) -> Metrics:
    """The metrics, if they are of task=classification. Raises InputError otherwise."""
    if not isinstance(metrics, Metrics):
        raise InputError(
            f"this is for classifiers, and the run's score is {metrics.score.title}: choose one "
            "of task=classification"
        )
    return metrics


def score_key(metrics: Any) -> str:
    """The key of the score of metrics, which may be an object or a dictionary from JSON."""
    if isinstance(metrics, ScoredMetrics):
        return metrics.score.key
    present = [score.key for score in SCORES if f"test_{score.key}" in metrics]
    return present[0] if present else TOP1.key


AnyMetrics = Annotated[
    Annotated[Metrics, Tag(TOP1.key)]
    | Annotated[SegmentationMetrics, Tag(MIOU.key)]
    | Annotated[DetectionMetrics, Tag(MAP.key)],
    Discriminator(score_key),
]
