"""By what the runs of each task are judged: one number in 0..1, the higher the better."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """`key` is its name in records and curves (`val_top1`), `title` that for people."""

    key: str
    title: str
    of_any_images: bool = True  # whether counts of each image give it for any sample of them


TOP1 = Score("top1", "top-1")
MIOU = Score("miou", "mIoU")
MAP = Score("map", "mAP", of_any_images=False)
SCORES = (TOP1, MIOU, MAP)


def score_among(columns: Iterable[str]) -> Score:
    """The one that a table's columns have of validation. Raises KeyError for none."""
    present = set(columns)
    for score in SCORES:
        if f"val_{score.key}" in present:
            return score
    raise KeyError(f"none of {', '.join(f'val_{score.key}' for score in SCORES)}")
