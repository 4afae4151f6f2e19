"""The paper's pictures of excitations (its figures 6 and 7), a heat map of every layer, the losses.

Shapes: C channels, K classes.
"""

from collections.abc import Sequence
from functools import partial
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.knockout import Knockout
from senet_train.commands.inspect.maps import Overlay
from senet_train.commands.inspect.session import RunInspection
from senet_train.commands.inspect.statistics import Array
from senet_train.figures import BLUE, GREEN, GREY, INK, ORANGE, Picture, drawable, render_picture

MOST_CHANNELS = 50  # the paper shows 50, evenly chosen
STYLES = (("-", BLUE), ("--", ORANGE), ("-.", GREEN), (":", INK))
COLUMNS = 2
LEAST = 0.05  # the least span of a panel: gates that hardly differ must look so
LONGEST_CLASS = 24
NAMED_CLASSES = 30  # a heat map with more has no room for their names


CLASS_CAPTION = (
    "The gate of {num} evenly chosen channels at most, mean over a class's images and over all, in "
    "the last attention layer of each stage (the paper's figure 6). Where the lines lie on each "
    "other, the layer treats all classes alike."
)
SPREAD_CAPTION = (
    "The same gates within two classes: mean, and a band of one standard deviation over the "
    "class's images (the paper's figure 7)."
)
HEAT_CAPTION = (
    "Mean gate of every class (rows) and channel (columns, sorted by their mean) in every layer."
)
DEPTH_CAPTION = (
    "From the first layer to the last: the mean gate with a band of one standard deviation over "
    "channels, the standard deviation over images, and the share of variance between classes."
)
LOSS_CAPTION = (
    "Points of top-1 lost with a layer's gate held at its mean, and with the layer removed; 95 % "
    "intervals over images. Nothing is trained anew."
)
MAPS_CAPTION = (
    "One image of each class shown, and over it: the factor of each pixel in the last attention "
    "layer of each stage, where attention has a say over pixels; and Grad-CAM of the last block "
    "for the class that was said, where captum is installed. Each map has a scale of its own."
)


def draw_pictures(inspection: RunInspection) -> list[Picture]:
    """Every picture of a run: of its gates, if it has any, and of its maps."""
    layers, names = inspection.gates.layers, inspection.run.class_names
    if not layers:
        return draw_maps(inspection.overlays)
    last, classes = last_of_stages(layers), inspection.classes
    draw = [
        (
            "classes",
            CLASS_CAPTION.format(num=MOST_CHANNELS),
            partial(by_class, last, classes, names),
        ),
        ("spread", SPREAD_CAPTION, partial(within_class, last, classes[:2], names)),
        ("depth", DEPTH_CAPTION, partial(along_depth, layers)),
        ("heat", HEAT_CAPTION, partial(heat_maps, layers, names)),
    ]
    if inspection.knockouts:
        draw.append(("losses", LOSS_CAPTION, partial(losses, inspection.knockouts)))
    pictures = [render_picture(name, caption, figure) for name, caption, figure in draw]
    return [*pictures, *draw_maps(inspection.overlays)]


def last_of_stages(layers: Sequence[Layer]) -> list[Layer]:
    """The last layer of each stage: those that the paper shows."""
    return list({layer.stage: layer for layer in layers}.values())


def shown_channels(layer: Layer) -> list[int]:
    """Up to 50 of its channels, evenly chosen."""
    return sorted({round(i) for i in np.linspace(0, layer.channels - 1, MOST_CHANNELS)})


def panels(num: int, height: float = 2.0) -> tuple[Figure, list[Axes]]:
    """A figure with room for so many panels, and those."""
    num_columns = min(COLUMNS, num)
    num_rows = ceil(num / num_columns)
    figure = Figure(figsize=(8, 0.7 + height * num_rows), layout="constrained")
    axes = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for panel in axes[num:]:
        panel.set_axis_off()
    return figure, axes[:num]


def by_class(layers: Sequence[Layer], classes: Sequence[int], names: Sequence[str]) -> Figure:
    """A panel a stage: lines of four classes and of all."""
    figure, axes = panels(len(layers))
    for panel, layer in zip(axes, layers, strict=True):
        channels = shown_channels(layer)
        start_panel(panel, layer, channels)
        panel.plot(layer.gates.all_mean[channels], color=GREY, linewidth=3, alpha=0.6, label="all")
        for index, (line, colour) in zip(classes, STYLES, strict=False):
            mean = layer.gates.mean[index][channels]
            panel.plot(mean, line, color=colour, linewidth=1, label=short(names[index]))
    finish(figure, axes)
    return figure


def within_class(layers: Sequence[Layer], classes: Sequence[int], names: Sequence[str]) -> Figure:
    """A panel a stage: two classes, each with its spread."""
    figure, axes = panels(len(layers))
    for panel, layer in zip(axes, layers, strict=True):
        channels = shown_channels(layer)
        start_panel(panel, layer, channels)
        for index, (line, colour) in zip(classes, STYLES, strict=False):
            mean, std = layer.gates.mean[index][channels], layer.gates.std[index][channels]
            band(panel, mean, std, colour)
            panel.plot(mean, line, color=colour, linewidth=1, label=short(names[index]))
    finish(figure, axes)
    return figure


def start_panel(panel: Axes, layer: Layer, channels: Sequence[int]) -> None:
    """Title and ticks of a panel over channels."""
    panel.set_title(f"{layer.block}, {layer.channels} channels", fontsize=8)
    ticks = np.linspace(0, len(channels) - 1, 6).round().astype(int)
    panel.set_xticks(ticks, [str(channels[tick]) for tick in ticks])
    panel.tick_params(labelsize=7)
    middle = np.nanmean(layer.gates.all_mean)
    panel.plot([0, 0], [middle - LEAST / 2, middle + LEAST / 2], alpha=0)  # no less is shown


def band(panel: Axes, mean: Array, std: Array, colour: str) -> None:
    """One standard deviation to each side."""
    where = np.arange(len(mean))
    panel.fill_between(where, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


def finish(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend, and what the axes are."""
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    figure.supxlabel("channel", fontsize=9)
    figure.supylabel("gate", fontsize=9)


def along_depth(layers: Sequence[Layer]) -> Figure:
    """Three panels over the layers in order."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    mean = np.array([np.nanmean(layer.gates.all_mean) for layer in layers])
    band(top, mean, np.array([np.nanstd(layer.gates.all_mean) for layer in layers]), BLUE)
    top.plot(mean, color=BLUE, marker="o", markersize=3)
    top.set_ylabel("mean gate")
    moving = [np.nanmean(layer.gates.all_std) for layer in layers]
    middle.plot(moving, color=BLUE, marker="o", markersize=3)
    middle.set_ylabel("sd over images")
    bottom.plot(
        [100 * layer.gates.between for layer in layers], color=BLUE, marker="o", markersize=3
    )
    bottom.set_ylabel("between classes, %")
    for panel in (middle, bottom):
        panel.set_ylim(bottom=0)
    step = ceil(len(layers) / 27)
    names = [layer.block for layer in layers][::step]
    bottom.set_xticks(range(0, len(layers), step), names, rotation=90, fontsize=7)
    return figure


def heat_maps(layers: Sequence[Layer], names: Sequence[str]) -> Figure:
    """A column a stage, a panel a layer: classes by channels, all on one scale."""
    stages = list(dict.fromkeys(layer.stage for layer in layers))
    columns = [[layer for layer in layers if layer.stage == stage] for stage in stages]
    num_rows = max(map(len, columns))
    named = len(names) <= NAMED_CLASSES
    height = min(max(0.09 * len(names), 0.7), 2.2) if named else 1.2
    figure = Figure(figsize=(8, 0.8 + (height + 0.35) * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, len(columns), squeeze=False)
    means = np.concatenate([layer.gates.mean.ravel() for layer in layers])
    low, high = np.nanmin(means), np.nanmax(means)
    for panel in grid.flat:
        panel.set_axis_off()
    for number, column in enumerate(columns):
        for panel, layer in zip(grid[:, number], column, strict=False):
            panel.set_axis_on()
            shown = layer.gates.mean[:, np.argsort(layer.gates.all_mean)]
            image = panel.imshow(
                shown, aspect="auto", vmin=low, vmax=high, cmap="viridis", interpolation="nearest"
            )
            panel.set_title(layer.block, fontsize=7)
            panel.set_xticks([])
            panel.set_yticks([])
            if named and number == 0:
                panel.set_yticks(range(len(names)), [short(n) for n in names], fontsize=5)
    figure.colorbar(image, ax=grid, shrink=min(1.0, 3 / (0.8 + height * num_rows)), label="gate")
    return figure


def losses(knockouts: Sequence[Knockout]) -> Figure:
    """A row for each that was knocked out: held and removed, with their intervals."""
    figure = Figure(figsize=(8, 0.9 + 0.22 * len(knockouts)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(knockouts))
    for panel, title, found, colour in (
        (left, "held at the mean", [k.held for k in knockouts], BLUE),
        (right, "removed", [k.removed for k in knockouts], ORANGE),
    ):
        points = np.array([loss.points for loss in found])
        ends = np.array([[loss.low, loss.high] for loss in found]).T
        panel.axvline(0, color=GREY, linewidth=1)
        panel.hlines(rows, *ends, color=colour, linewidth=1.5)
        panel.plot(points, rows, "o", color=colour, markersize=4)
        panel.set_title(title)
        panel.set_xlabel("points of top-1 lost")
        panel.xaxis.set_major_locator(MaxNLocator(5))
    left.set_yticks(rows, [k.name for k in knockouts], fontsize=7)
    left.invert_yaxis()
    return figure


def short(name: str) -> str:
    """A class's name with room beside it."""
    name = drawable(name)
    return name if len(name) <= LONGEST_CLASS else f"{name[: LONGEST_CLASS - 3]}..."


def draw_maps(overlays: Sequence[Overlay]) -> list[Picture]:
    """One picture with a row for each image; none where there is no map."""
    columns = list(overlays[0].maps) if overlays else []
    if not columns:
        return []
    return [render_picture("maps", MAPS_CAPTION, lambda: rows_of_maps(overlays, columns))]


def rows_of_maps(overlays: Sequence[Overlay], columns: Sequence[str]) -> Figure:
    """The image to the left, its maps to the right."""
    width = min(8.0, 1.9 * (1 + len(columns)))
    figure = Figure(figsize=(width, 0.5 + 1.9 * len(overlays)), layout="constrained")
    grid = figure.subplots(len(overlays), 1 + len(columns), squeeze=False)
    for row, overlay in zip(grid, overlays, strict=True):
        for panel in row:
            panel.imshow(overlay.pixels, interpolation="nearest")
            panel.set_xticks([])
            panel.set_yticks([])
        row[0].set_xlabel(f"{short(overlay.label)}\nsaid: {short(overlay.prediction)}", fontsize=7)
        for panel, name in zip(row[1:], columns, strict=True):
            shown = overlay.maps[name]
            top = max(float(shown.max()), float(shown.min()) + 1e-6)  # a flat map is no noise
            panel.imshow(shown, cmap="inferno", alpha=0.6, interpolation="bilinear", vmax=top)
    for panel, name in zip(grid[0], ["image", *columns], strict=True):
        panel.set_title(name, fontsize=8)
    return figure
