"""An evaluation on the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from senet_train.commands.evaluate.evaluation import Evaluation, num_images_apart
from senet_train.commands.evaluate.score import ClassScore, CorruptionScore, Estimate
from senet_train.errors import counted
from senet_train.runs.metrics import TOP5_FROM
from senet_train.system.console import table_console
from senet_train.system.texts import printable

MOST_CLASSES = 20  # in the table; --out has all


def print_evaluation(evaluation: Evaluation) -> None:
    """What was evaluated, how good it is, the classes from the worst on, the corruptions."""
    console = table_console()
    score = evaluation.score
    images = counted(score.num_images, "image")
    about = f"{evaluation.label} on {evaluation.test_set}: {images}, float32"
    about += "" if evaluation.test_flips == "none" else ", each with its mirror"
    console.print(Text(printable(about), style="bold"), "", summary(evaluation), sep="\n")
    if evaluation.recorded_top1 is not None:
        console.print(Text(against_record(evaluation), style="dim"))
    console.print("", classes(score.per_class[:MOST_CLASSES]), sep="\n")
    if len(score.per_class) > MOST_CLASSES:
        more = len(score.per_class) - MOST_CLASSES
        console.print(Text(f"and {more:,} better ones: --out DIR has all", style="dim"))
    if evaluation.corruptions:
        title = Text("top-1 on corrupted images")
        console.print("", title, corruptions(evaluation.corruptions), sep="\n")


def against_record(evaluation: Evaluation) -> str:
    """How the recorded top-1 and this one differ, on the same images."""
    recorded = evaluation.recorded_top1
    assert recorded is not None
    apart = num_images_apart(recorded, evaluation.score)
    return (
        f"the record says top-1 {recorded:.4f}, in precision {evaluation.recorded_precision}: "
        f"{apart:,} of {counted(evaluation.score.num_images, 'image')} apart"
    )


def simple_table(*columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def summary(evaluation: Evaluation) -> Table:
    """The figures of the whole test set."""
    score = evaluation.score
    table = simple_table("", "value", "95 % interval")
    rows = {"top-1": score.top1, "top-5": score.top5, "loss": score.loss}
    if len(score.per_class) < TOP5_FROM:
        del rows["top-5"]
    for name, estimate in rows.items():
        table.add_row(name, f"{estimate.value:.4f}", interval(estimate))
    table.add_row("calibration error", f"{score.calibration_error:.4f}", "")
    return table


def interval(estimate: Estimate) -> str:
    """`0.9012 to 0.9234`."""
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def classes(scores: list[ClassScore]) -> Table:
    """Top-1 of each class, worst first."""
    table = simple_table("class, worst first", "images", "top-1", "95 % interval")
    for row in scores:
        figures = (f"{row.num_images:,}", f"{row.top1.value:.4f}", interval(row.top1))
        table.add_row(Text(row.name), *figures)
    return table


def corruptions(scores: list[CorruptionScore]) -> Table:
    """Top-1 by corruption and severity."""
    table = simple_table("severity", "1", "2", "3", "4", "5", "mean", "of clean")
    for row in scores:
        relative = "-" if row.relative is None else f"{100 * row.relative:.1f} %"
        table.add_row(row.name, *(f"{top1:.4f}" for top1 in (*row.top1, row.mean)), relative)
    return table
