"""Every file of `--out DIR`."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from senet_train.commands.evaluate.draw import draw_pictures
from senet_train.commands.evaluate.evaluation import Evaluation
from senet_train.figures import write_picture
from senet_train.system.csv_files import csv_text
from senet_train.system.files import write_json, write_text


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write all of it into `folder`, made if it is missing; the files. Raises OSError."""
    pictures = draw_pictures(evaluation)
    texts = tables(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_json(folder / "evaluation.json", plain(evaluation))
    return [
        folder / "evaluation.json",
        *(folder / name for name in texts),
        *(file for drawn in pictures for file in write_picture(drawn, folder)),
    ]


def tables(evaluation: Evaluation) -> dict[str, str]:
    """File name -> CSV."""
    rows = {"per_class.csv": class_rows, "confusion.csv": confusion_rows}
    if evaluation.corruptions:
        rows["corruptions.csv"] = corruption_rows
    return {name: csv_text(rows_of(evaluation)) for name, rows_of in rows.items()}


def plain(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain data, unrounded; the confusion matrix as lists."""
    tree = asdict(evaluation)
    confusion = tree["score"]["confusion"]
    confusion["counts"] = confusion["counts"].tolist()
    return tree


def class_rows(evaluation: Evaluation) -> Iterable[Iterable[Any]]:
    """Top-1 of each class, worst first."""
    yield ["class", "images", "top1", "low", "high"]
    for row in evaluation.score.per_class:
        yield [row.name, row.num_images, row.top1.value, row.top1.low, row.top1.high]


def confusion_rows(evaluation: Evaluation) -> Iterable[Iterable[Any]]:
    """A row for each label, a column for each answer, numbers of images."""
    confusion = evaluation.score.confusion
    yield ["label", *confusion.classes]
    for name, counts in zip(confusion.classes, confusion.counts.tolist(), strict=True):
        yield [name, *counts]


def corruption_rows(evaluation: Evaluation) -> Iterable[Iterable[Any]]:
    """Top-1 by corruption and severity; the last row is the mean of the others."""
    yield ["corruption", *(f"severity_{i}" for i in range(1, 6)), "mean", "relative"]
    for row in evaluation.corruptions:
        yield [row.name, *row.top1, row.mean, "" if row.relative is None else row.relative]
