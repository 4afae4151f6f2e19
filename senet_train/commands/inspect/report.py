"""The report of an inspection: titles, alarms, and tables."""

import math

import numpy as np

from senet_train.commands.inspect.alarms import Layer, alarms_of
from senet_train.commands.inspect.knockout import Knockout, Loss
from senet_train.commands.inspect.maps import SPATIAL
from senet_train.commands.inspect.session import RunInspection
from senet_train.commands.inspect.statistics import Array
from senet_train.commands.inspect.timing import AddedTime
from senet_train.compare.render.cells import (
    NOTHING,
    counted,
    decimals,
    percent,
    share,
    signed,
    signed_interval,
)
from senet_train.compare.render.report import Line, LinesUnderHeading, Report, Section
from senet_train.compare.render.sheets import Sheet
from senet_train.runs.metrics import of_classifier
from senet_train.runs.record import RunRecord

PARTS = {"test": "test", "val": "validation"}


def report_of(inspection: RunInspection) -> Report:
    """The report, in the form that senet-compare's pages and terminal print."""
    return Report(opening=[], sections=[section(inspection)], left_out=[])


def section(inspection: RunInspection) -> Section:
    """The section of one run."""
    run, gates = inspection.run, inspection.gates
    what = f"{gates.num_images:,} {PARTS[inspection.part]} images of {run.config.data.source.name}"
    alarms = [line for layer in gates.layers for line in alarms_of(layer)]
    alarms = alarms or [nothing_wrong(gates.layers)]
    return Section(
        title=f"{run.label}, seed {run.config.seed}: what its excitations do",
        differ=f"{what}, top-1 {gates.top1:.4f} in float32{recorded_top1(inspection)}",
        common=f"run {run.path}",
        sheets=[s for s in sheets_of(inspection) if s.rows],
        listings=[LinesUnderHeading("Alarms", [Line(alarm) for alarm in alarms])],
    )


def nothing_wrong(layers: list[Layer]) -> str:
    """The line where no alarm is raised."""
    return "none" if layers else "this network has no attention: only where it looks is shown"


def recorded_top1(inspection: RunInspection) -> str:
    """The top-1 in the record over the same images."""
    record = inspection.run.record
    if record is None:
        return ""
    metrics = of_classifier(record.metrics)
    top1 = {"test": metrics.test_top1, "val": metrics.val_top1}[inspection.part]
    flips = run_flips(inspection)
    return f" ({top1:.4f} when it was trained, in {record.environment.precision}{flips})"


def run_flips(inspection: RunInspection) -> str:
    """That the run's test saw mirrors as well: an inspection sees each image as it is."""
    return ", with mirrors" if inspection.run.config.data.test_flips != "none" else ""


def sheets_of(inspection: RunInspection) -> list[Sheet]:
    """Gates, knock-outs, time."""
    return [
        gate_sheet(inspection.gates.layers),
        knockout_sheet(inspection.knockouts, inspection.run.record),
        added_time_sheet(inspection.added_times),
    ]


def gate_sheet(layers: list[Layer]) -> Sheet:
    """A row for each layer: the statistics of its gates."""
    rows = [
        [
            layer.block,
            counted(layer.channels),
            str(layer.hidden) if layer.hidden else NOTHING,
            decimals(mean_of(layer.gates.all_mean)),
            decimals(spread_of(layer.gates.all_mean)),
            decimals(mean_of(layer.gates.all_std)),
            percent(layer.gates.saturated),
            percent(layer.gates.closed),
            percent(layer.gates.constant),
            percent(layer.gates.between),
            percent(layer.beyond) if layer.beyond > SPATIAL else "0 %",
        ]
        for layer in layers
    ]
    columns = ["layer", "channels", "hidden", "mean", "sd over channels", "sd over images"]
    return Sheet(
        "How open are the gates?",
        [*columns, "over 0.95", "under 0.05", "constant", "between classes", "beyond"],
        rows,
        footnote="mean: of all gates. sd over images: of a channel's gate, mean over channels. "
        "over 0.95, under 0.05: of all gates. constant: channels whose gate varies by less than "
        "0.001 (standard deviation over images). between classes: the part of the variance over "
        "images that lies between classes (epsilon squared): 0 is class-agnostic, 100 % is decided "
        "by the class. beyond: the part of the layer's output that no factor a channel explains: 0 "
        "for a gate over channels.",
    )


def knockout_sheet(knockouts: list[Knockout], record: RunRecord | None) -> Sheet:
    """A row for each group that was knocked out: the accuracy lost, and its parameters."""
    parameters = record.cost.parameters if record else 0
    rows = [
        [
            k.name,
            lost(k.held),
            interval(k.held),
            lost(k.removed),
            interval(k.removed),
            counted(k.parameters),
            share(k.parameters, parameters),
        ]
        for k in knockouts
    ]
    return Sheet(
        "What is lost without them?",
        ["layer", "held", "95 % interval", "removed", "95 % interval", "parameters", "share"],
        rows,
        footnote="Points of top-1 lost (positive: worse) with the layer's gate held at its mean "
        "over these images, and with the layer removed (its gate at 1); nothing is trained anew. "
        "Interval: over images, paired. Parameters that removing saves; behind a BatchNorm a "
        "held gate folds into its weights and saves as much. Who drops a layer by these figures "
        "has chosen on these images: use --part val.",
    )


def added_time_sheet(added_times: list[AddedTime]) -> Sheet:
    """A row for each stage and batch size: what the layers add to the time of a forward pass."""
    rows = [
        [
            added.name,
            str(added.batch_size),
            f"{added.with_ms:.2f}",
            f"{added.without_ms:.2f}",
            f"{signed(median)} ({signed(low)} to {signed(high)})",
        ]
        for added in added_times
        for low, median, high in [added.percent]
    ]
    return Sheet(
        "What do they add to the time?",
        ["layers", "images", "with, ms", "without, ms", "added, %"],
        rows,
        footnote="One forward pass on this machine, with and without the layers in turn; medians. "
        "added: (with - without) / without of each round, the median and the quartiles over "
        "rounds, as in senet-profile.",
    )


def mean_of(values: Array) -> float:
    """The mean of the values that are not nan; nan if there are none."""
    seen = values[~np.isnan(values)]
    return float(seen.mean()) if seen.size else math.nan


def spread_of(values: Array) -> float:
    """The standard deviation of the values that are not nan; nan if there are none."""
    seen = values[~np.isnan(values)]
    return float(seen.std()) if seen.size else math.nan


def lost(loss: Loss) -> str:
    """`+0.42`."""
    return signed(loss.points)


def interval(loss: Loss) -> str:
    """`-0.10 to +0.94`."""
    return signed_interval(loss.low, loss.high)
