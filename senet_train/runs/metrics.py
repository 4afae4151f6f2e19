"""The metrics of a finished run, for each task. Scores are in 0..1.

`val_*` and `test_*` are of the best epoch, `*_last` of the last one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Discriminator, Field, Tag
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
# Further scores of classifiers, each a mean over classes: a class counts alike however many images
# it has.
MACRO_F1 = Score("macro_f1", "macro-F1", of_any_images=False)
BALANCED_ACCURACY = Score("balanced_accuracy", "balanced accuracy", of_any_images=False)
AUROC = Score("auroc", "AUROC", of_any_images=False)
AVERAGE_PRECISION = Score("average_precision", "average precision", of_any_images=False)
MACRO_SCORES = (MACRO_F1, BALANCED_ACCURACY, AUROC, AVERAGE_PRECISION)
CLASSIFIER_SCORES = {score.key: score for score in (TOP1, *MACRO_SCORES)}
JudgedBy = Annotated[str, Field(pattern=f"^({'|'.join(CLASSIFIER_SCORES)})$")]
CHOSEN = "val_score"  # a column of metrics.csv where `trainer.score` chooses the score
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

    own_score: ClassVar[Score]  # the task's own

    @property
    def score(self) -> Score:
        """The score that the run is judged by."""
        return self.own_score

    @classmethod
    def score_called(cls, name: str) -> Score:
        """The score of this name; `auto` is the task's own. Raises KeyError."""
        return {"auto": cls.own_score, cls.own_score.key: cls.own_score}[name]

    def values(self) -> dict[str, float]:
        """Every metric of the whole data by its name; without `best_epoch`."""
        return {name: value for name, value in vars(self).items() if name != "best_epoch"}

    def judged_by_score(self, name: str) -> Self:
        """The same metrics, judged by the score of this name. Raises KeyError if it lacks that."""
        _ = self.score_called(name)
        return self

    @property
    def val_score(self) -> float:
        """Of the best epoch."""
        return float(self.values()[f"val_{self.score.key}"])

    @property
    def val_score_last(self) -> float:
        """Of the last epoch."""
        return float(self.values()[f"val_{self.score.key}_last"])

    @property
    def test_score(self) -> float:
        """Of the best epoch."""
        return float(self.values()[f"test_{self.score.key}"])

    @property
    def is_validated(self) -> bool:
        """Whether the score is known of the validation images too."""
        return f"val_{self.score.key}" in self.values()


@dataclass(frozen=True, config=EXACT)
class Metrics(ScoredMetrics):
    """Classification: means over images; `macro` and `per_class` are of classes.

    `macro` has the means over classes: macro-F1 and balanced accuracy of `val`, `val ... last` and
    `test`, AUROC and average precision (one class against the rest) of `test`. `per_class` has of
    each class with test images their number and the share of them that was found (`recall`), and of
    each class that was said, the share that was right (`precision`). Both are empty in records that
    were made before 2026-12. What no image defines is left out.
    """

    own_score: ClassVar[Score] = TOP1
    val_top1: float
    val_top5: float
    val_loss: float
    val_top1_last: float
    val_loss_last: float
    test_top1: float
    test_top5: float
    test_loss: float
    best_epoch: int
    judged_by: JudgedBy = "top1"  # the score by which the best epoch was chosen (trainer.score)
    macro: dict[str, float] = field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def score(self) -> Score:
        """The score that the run is judged by."""
        return self.score_called(self.judged_by)

    @classmethod
    def score_called(cls, name: str) -> Score:
        """The score of this name; `auto` is top-1. Raises KeyError."""
        return {"auto": TOP1, **CLASSIFIER_SCORES}[name]

    def values(self) -> dict[str, float]:
        """Every metric of the whole data by its name; without `best_epoch`."""
        apart = ("best_epoch", "judged_by", "macro", "per_class")
        own = {name: value for name, value in vars(self).items() if name not in apart}
        return own | self.macro

    def judged_by_score(self, name: str) -> Self:
        """The same metrics, judged by the score of this name. Raises KeyError if it lacks that."""
        score = self.score_called(name)
        _ = self.values()[f"test_{score.key}"]
        return replace(self, judged_by=score.key)


@dataclass(frozen=True, config=EXACT)
class SegmentationMetrics(ScoredMetrics):
    """Segmentation: the mean over classes of intersection over union; means over pixels."""

    own_score: ClassVar[Score] = MIOU
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

    own_score: ClassVar[Score] = MAP
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
    return kind(**{part.name: values[part.name] for part in fields(kind) if part.name in values})


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
        return metrics.own_score.key
    present = [score.key for score in SCORES if f"test_{score.key}" in metrics]
    return present[0] if present else TOP1.key


AnyMetrics = Annotated[
    Annotated[Metrics, Tag(TOP1.key)]
    | Annotated[SegmentationMetrics, Tag(MIOU.key)]
    | Annotated[DetectionMetrics, Tag(MAP.key)],
    Discriminator(score_key),
]
