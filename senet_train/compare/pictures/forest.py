"""The forest plot: each arm's difference to the control, its interval, the margin, its verdict."""

from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from senet_train.compare.comparison import Block
from senet_train.compare.pictures.marks import VERDICT_MARKS
from senet_train.compare.render.cells import arm_names, shortened
from senet_train.compare.render.sheets import VERDICT_NAMES
from senet_train.compare.statistics.difference import Difference
from senet_train.figures import GREEN, INK

ROW = 0.3  # inches
LONGEST_NAME = 42


def forest_caption(block: Block, margin: float) -> str:
    """What the picture shows."""
    return (
        f"Test {block.score.title} less the control's. Paired by seed: mean and 95 % interval. The "
        f"band is the margin of +-{margin:g} points. Colour, shape and the word at the right are "
        "the verdict. An arrow: the interval goes on."
    )


def draw_forest(block: Block, margin: float) -> Figure:
    """A row for every arm but the control, from above in the order of the table."""
    control, *names = arm_names(block)
    rows = [arm.difference for arm in block.arms if arm.difference]
    figure = Figure(figsize=(8, 1.3 + ROW * len(rows)), layout="constrained")
    axes = figure.subplots()
    limit = half_width(rows, margin)
    axes.axvspan(-margin, margin, color=GREEN, alpha=0.15, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    for row, difference in enumerate(rows):
        draw_row(axes, row, difference, limit)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [shortened(name, LONGEST_NAME) for name in names], size=8)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.set_xlabel(
        f"points of test {block.score.title} against {shortened(control, LONGEST_NAME)}"
    )
    axes.set_title(shortened(block.title, 90))
    return figure


def draw_row(axes: Axes, row: int, found: Difference, limit: float) -> None:
    """One arm: its interval as a bar, its mean as a mark, its verdict at the right."""
    mark = VERDICT_MARKS[found.verdict]
    if found.low is not None and found.high is not None:
        ends = [max(found.low, -limit), min(found.high, limit)]
        axes.plot(ends, [row, row], color=mark.colour, linewidth=1.6, solid_capstyle="butt")
        for end, value, arrow in ((ends[0], found.low, "<"), (ends[1], found.high, ">")):
            if end != value:
                axes.plot(end, row, arrow, color=mark.colour, markersize=6, clip_on=False)
    if found.difference is not None:
        axes.plot(
            max(-limit, min(found.difference, limit)),
            row,
            mark.shape,
            color=mark.colour,
            markerfacecolor=mark.face,
            markersize=8,
            clip_on=False,
        )
    axes.annotate(
        VERDICT_NAMES[found.verdict],
        (1.02, row),
        xycoords=("axes fraction", "data"),
        verticalalignment="center",
    )


def half_width(rows: list[Difference], margin: float) -> float:
    """Half the axis's width, in points: the margin, every mean and intervals of usual width fit.

    Two seeds give an interval some ten times as wide as five, which would flatten all others.
    """
    ends = [max(abs(d.low), abs(d.high)) for d in rows if d.low is not None and d.high is not None]
    means = [abs(d.difference) for d in rows if d.difference is not None]
    usual = min(max(ends), 2 * median(ends)) if ends else 0.0
    return 1.08 * max(1.5 * margin, usual, *means)
