"""Learning curves: each arm in a panel of its own, the control behind it for comparison."""

from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from senet_train.compare.comparison import Arm, Block
from senet_train.compare.render.cells import arm_names, shortened
from senet_train.figures import BLUE, GREY

COLUMNS = 3
PANEL_HEIGHT = 1.7  # inches
LONGEST_NAME = 40


def curves_caption(block: Block) -> str:
    """What the picture shows."""
    return (
        f"Validation {block.score.title} after each epoch. The mean over seeds, and a band from "
        "the lowest seed to the highest. Grey, dashed: the control."
    )


def draw_curves(block: Block) -> Figure:
    """A panel for every arm but the control; for the control alone, its own."""
    control, *others = zip(arm_names(block), block.arms, strict=True)
    shown = others or [control]
    num_rows, num_columns = ceil(len(shown) / COLUMNS), min(COLUMNS, len(shown))
    figure = Figure(figsize=(8, 0.9 + PANEL_HEIGHT * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for panel, (name, arm) in zip(panels, shown, strict=False):
        draw_panel(panel, arm, control[1], shortened(name, LONGEST_NAME))
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel in panels[len(shown) - num_columns : len(shown)]:
        panel.tick_params(labelbottom=True)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(f"validation {block.score.title}, %", fontsize=9)
    figure.suptitle(shortened(block.title, 90), fontsize=10, x=0.01, horizontalalignment="left")
    return figure


def draw_panel(panel: Axes, arm: Arm, control: Arm, name: str) -> None:
    """One arm's curve, with the control's behind it."""
    if arm is not control:
        draw_mean_and_band(panel, control, GREY, "--")
    draw_mean_and_band(panel, arm, BLUE, "-")
    panel.set_title(name, fontsize=7)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    panel.tick_params(labelsize=8)


def draw_mean_and_band(panel: Axes, arm: Arm, colour: str, line: str) -> None:
    """The mean over seeds, and the band from the lowest seed to the highest."""
    curves = whole_curves(arm)
    if not curves.size:
        return
    epochs = np.arange(1, curves.shape[1] + 1)
    panel.fill_between(epochs, curves.min(0), curves.max(0), color=colour, alpha=0.25, linewidth=0)
    mark = "o" if len(epochs) == 1 else ""
    panel.plot(epochs, curves.mean(0), color=colour, linestyle=line, linewidth=1.4, marker=mark)


def whole_curves(arm: Arm) -> NDArray[np.float64]:
    """(num_seeds, num_epochs): the epochs that every seed has finished."""
    shortest = min(map(len, arm.curves.values()), default=0)
    return np.array([curve[:shortest] for curve in arm.curves.values()])
