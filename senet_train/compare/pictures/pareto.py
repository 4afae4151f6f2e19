"""Accuracy against a cost; the marks say which arms are within noise of the highest mean."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from senet_train.compare.comparison import Arm, ArmCost, Block
from senet_train.compare.pictures.marks import LEGEND, Mark, marks_of
from senet_train.compare.render.cells import arm_names, shortened
from senet_train.figures import GREY

Point = tuple[float, float]


RINGS = (0.15, 0.26, 0.38, 0.5, 0.65)  # inches from the point, the nearest first
DIRECTIONS = 12  # the first is to the right, then round against the clock


def place_labels(points: list[Point], room: Point, size: Point) -> list[Point]:
    """The centre of a label for each of `points`, in order, in inches from the lower left corner.

    Rings of candidate places lie around each point. A label takes the first place, from the nearest
    ring outwards, that lies within `room` and covers no point and no label before it; if there is
    none, the last candidate. `size` is a label's width and height.
    """
    placed: list[Point] = []
    for point in points:
        places = list(places_around(point, room, size))
        clear = (place for place in places if is_clear(place, points, placed, size))
        placed.append(next(clear, places[-1] if places else point))
    return placed


def places_around(point: Point, room: Point, size: Point) -> Iterable[Point]:
    """The candidate places of a label around a point, within the room, from the nearest ring on."""
    for radius in RINGS:
        for step in range(DIRECTIONS):
            angle = 2 * pi * step / DIRECTIONS
            place = (point[0] + radius * cos(angle), point[1] + radius * sin(angle))
            if all(s / 2 <= p <= r - s / 2 for p, r, s in zip(place, room, size, strict=True)):
                yield place


def is_clear(place: Point, points: list[Point], placed: list[Point], size: Point) -> bool:
    """Whether a label there covers no mark and no label."""
    width, height = size
    covers = any(abs(place[0] - x) < width and abs(place[1] - y) < height for x, y in placed)
    return not covers and all(hypot(place[0] - x, place[1] - y) > RINGS[0] * 0.9 for x, y in points)


LONGEST_NAME = 34
# Inches.
WIDTH, AXES_WIDTH = 8.0, 4.5
LEFT, BOTTOM, TOP = 0.75, 0.85, 0.35
LINE = 0.17  # height of a line of the key
NUMBER = (0.19, 0.14)  # a label's width and height


@dataclass(frozen=True)
class CostAxis:
    """A cost on the horizontal axis: the stem of the file's name, the axis label, the value."""

    name: str
    words: str
    value: Callable[[ArmCost], float]


COSTS = (
    CostAxis("parameters", "parameters", lambda cost: cost.parameters),
    CostAxis("multiply_adds", "multiply-adds", lambda cost: cost.multiply_adds),
    CostAxis("images_per_second", "training images/s", lambda cost: cost.images_per_second.median),
)


def pareto_caption(block: Block, cost: CostAxis) -> str:
    """What the picture shows."""
    return (
        f"Test {block.score.title} (mean, 95 % interval) against {cost.words}. Arms within "
        "noise of the highest mean are marked: against the control noise is what its verdict "
        "says, between other arms Welch's t-test at the look's error, over the number of arms. A "
        "long interval leaves the picture."
    )


def draw_pareto(block: Block, cost: CostAxis) -> Figure:
    """A numbered mark for every arm, and a key to the numbers at the right."""
    height = max(3.0, LINE * len(block.arms))
    whole = BOTTOM + height + TOP
    figure = Figure(figsize=(WIDTH, whole))
    place = (LEFT / WIDTH, BOTTOM / whole, AXES_WIDTH / WIDTH, height / whole)
    axes = figure.add_axes(place)
    marks, costs = marks_of(block), [cost.value(arm.cost) for arm in block.arms]
    axes.set_xlim(*cost_limits(costs))
    axes.set_ylim(*accuracy_limits(block.arms))
    for arm, value, mark in zip(block.arms, costs, marks, strict=True):
        draw_arm(axes, arm, value, mark)
    means = [arm.test.mean for arm in block.arms]
    write_numbers(axes, list(zip(costs, means, strict=True)), (AXES_WIDTH, height))
    write_key(axes, arm_names(block), height)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(cost.words)
    axes.set_ylabel(f"test {block.score.title}, %")
    axes.set_title(shortened(block.title, 90))
    figure.legend(handles=legend_lines(marks), loc="lower left", ncols=3)
    return figure


def accuracy_limits(arms: list[Arm]) -> tuple[float, float]:
    """The ends of the axis: every mean and every interval of usual width is inside."""
    means = [arm.test.mean for arm in arms]
    halves = [
        max(arm.test.high - arm.test.mean, arm.test.mean - arm.test.low)
        for arm in arms
        if arm.test.low is not None and arm.test.high is not None
    ]
    usual = 2.5 * median(halves) if halves else 0.0
    ends = [min(half, usual) for half in halves] or [0.0]
    room = max(0.08 * (max(means) - min(means)), 1.1 * max(ends), 0.05)
    return min(means) - room, max(means) + room


def draw_arm(axes: Axes, arm: Arm, cost: float, mark: Mark) -> None:
    """An arm's mark and its interval."""
    if arm.test.low is not None and arm.test.high is not None:
        axes.plot([cost, cost], [arm.test.low, arm.test.high], color=GREY, alpha=0.6, linewidth=1)
    axes.plot(
        cost,
        arm.test.mean,
        mark.shape,
        color=mark.colour,
        markerfacecolor=mark.face,
        markersize=7,
        zorder=4,
    )


def cost_limits(costs: list[float]) -> tuple[float, float]:
    """The ends of the axis: every cost and some room; equal costs are in the middle."""
    room = 0.08 * (max(costs) - min(costs)) or 0.05 * max(costs) or 1.0
    return min(costs) - room, max(costs) + room


def write_numbers(axes: Axes, points: list[Point], room: Point) -> None:
    """The arm's number beside its mark, joined to it by a thin line."""
    corners = list(zip(axes.get_xlim(), axes.get_ylim(), strict=True))
    (left, bottom), (right, top) = corners
    inches = [
        ((x - left) / (right - left) * room[0], (y - bottom) / (top - bottom) * room[1])
        for x, y in points
    ]
    labels = place_labels(inches, room, NUMBER)
    for number, (point, label) in enumerate(zip(points, labels, strict=True), start=1):
        axes.annotate(
            str(number),
            point,
            xytext=(label[0] / room[0], label[1] / room[1]),
            textcoords="axes fraction",
            horizontalalignment="center",
            verticalalignment="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0},
        )


def write_key(axes: Axes, names: list[str], height: float) -> None:
    """The number and name of each arm, from above in the order of the tables."""
    for number, name in enumerate(names, start=1):
        y = 1 - (number - 0.5) * LINE / height
        style: dict[str, Any] = {
            "transform": axes.transAxes,
            "fontsize": 8,
            "verticalalignment": "center",
        }
        axes.text(1.07, y, str(number), horizontalalignment="right", **style)
        axes.text(1.09, y, shortened(name, LONGEST_NAME), **style)


def legend_lines(marks: list[Mark]) -> list[Line2D]:
    """A legend entry for each mark that was drawn."""
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=mark.shape,
            color=mark.colour,
            markerfacecolor=mark.face,
            label=words,
        )
        for words, mark in LEGEND.items()
        if mark in marks
    ]
