"""The table of a run's record that ends every command, and the line about its network."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from senet_train.runs.metrics import MACRO_SCORES, SCORES, TOP5_FROM, AnyMetrics
from senet_train.runs.record import RunRecord
from senet_train.system.console import output_console, say

if TYPE_CHECKING:  # they import torch, and a finished run is shown without it
    from senet_train.networks.cost import NetworkCost
    from senet_train.networks.insertion import Slot

TITLES = {score.key: score.title for score in (*SCORES, *MACRO_SCORES)} | {
    "top5": "top-5",
    "loss": "loss",
    "pixels": "pixels right",
    "map50": "mAP at overlap 0.5",
    "map75": "mAP at overlap 0.75",
}


def print_summary(record: RunRecord, folder: Path) -> None:
    """Print the table to standard output."""
    table = Table(title=f"{record.label}, seed {record.seed}", title_justify="left")
    table.add_column("", style="bold")
    table.add_column("result")
    for name, value in summary_rows(record):
        table.add_row(name, value)
    output_console().print(table)
    # Outside the table, which would fold them: these are to be copied.
    say(f"record: {folder / 'result.json'}")
    has_events = any(folder.glob("events.out.tfevents.*"))  # not with logger=csv
    board = f"tensorboard --logdir {folder.parents[2]}"
    say(f"curves: {board if has_events else folder / 'metrics.csv'}")


def summary_rows(record: RunRecord) -> list[tuple[str, str]]:
    """The table's rows: name and value."""
    cost = record.cost
    share = 100 * cost.attention_parameters / cost.parameters
    low, high = cost.images_per_second_quartiles
    attention_adds = f"{cost.attention_multiply_adds / 1e6:,.3f} M"
    latency = ", ".join(f"{ms.median:.2f} at {n}" for n, ms in cost.inference_ms.items())
    return [
        *metric_rows(record.metrics, num_classes_of(record)),
        (
            "parameters",
            f"{cost.parameters:,} (attention {cost.attention_parameters:,}, {share:.2f} %)",
        ),
        ("multiply-adds", f"{cost.multiply_adds / 1e6:,.2f} M (attention {attention_adds})"),
        ("training", f"{cost.images_per_second:,.0f} images/s ({low:,.0f} to {high:,.0f})"),
        ("inference", f"{latency} images, ms"),
        ("seconds", f"{cost.seconds:.1f}"),
    ]


def num_classes_of(record: RunRecord) -> int:
    """As the record's configuration says; where it does not, as many as make top-5 worth a row."""
    data = record.config.get("data")
    number = data.get("num_classes") if isinstance(data, dict) else None
    return number if isinstance(number, int) else TOP5_FROM


def metric_rows(metrics: AnyMetrics, num_classes: int) -> list[tuple[str, str]]:
    """The metrics of the test set, then of validation, each with the score first.

    Top-5 only where it says something, means over classes only where the score is one.
    """
    score, best_epoch = metrics.score.key, metrics.best_epoch
    left_out = ["_last"] if num_classes >= TOP5_FROM else ["_last", "_top5"]
    if score == metrics.own_score.key:
        left_out += [f"_{other.key}" for other in MACRO_SCORES]
    values = metrics.values()
    values = {name: value for name, value in values.items() if not name.endswith(tuple(left_out))}
    names = sorted(values, key=lambda name: (name.startswith("val_"), not name.endswith(score)))
    rows = []
    for name in names:
        part, _, key = name.partition("_")
        note = f" (best, epoch {best_epoch + 1})" if name == f"val_{score}" else ""
        rows.append((f"{part} {TITLES[key]}", f"{values[name]:.4f}{note}"))
    return rows


def network_line(label: str, cost: "NetworkCost", slots: "list[Slot]", own_attention: int) -> str:
    """The network in one line, with the bottleneck widths that result from the ratio.

    `own_attention` is the number of modules that were taken out of the network.
    """
    share = 100 * cost.attention_parameters / cost.parameters
    line = (
        f"{label}: {cost.parameters:,} parameters (attention {cost.attention_parameters:,}, "
        f"{share:.2f} %), {cost.multiply_adds / 1e6:,.2f} M multiply-adds"
    )
    if own_attention:
        line += f", {taken_out(own_attention)}"
    widths = {slot.stage: slot.hidden for slot in slots if slot.hidden}
    if not widths:
        return line
    hidden = "/".join(map(str, widths.values()))
    return f"{line}, hidden channels {hidden} in stages {'/'.join(map(str, widths))}"


def taken_out(own_attention: int) -> str:
    """The words for a network's own attention: an arm has only the attention of its name."""
    return f"attention of its own taken out ({own_attention} modules)"
