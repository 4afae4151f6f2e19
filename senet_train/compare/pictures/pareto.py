"""Score against a cost: each arm's mean, its name beside it, its verdict as its mark."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from senet_train.compare.comparison import Arm, ArmCost, Block
from senet_train.compare.pictures.labels import Point, Size, place_names
from senet_train.compare.pictures.marks import RULE, Mark, legend_of, mark_of
from senet_train.compare.render.cells import arm_names, shortened
from senet_train.figures import GREY, PAPER

LONGEST_NAME = 34
NAME_POINTS = 8  # size of type
# Inches.
WIDTH, AXES_WIDTH = 8.0, 7.0
LEFT, BOTTOM, TOP = 0.75, 1.05, 0.35
LOWEST, LINE = 2.6, 0.12  # height of the axes: and so much more for every arm
EDGE = 0.4  # points beyond 0 and 100, so that a mark there is whole


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
        f"Test {block.score.title} against {cost.words}. Means over the seeds with their 95 % "
        f"intervals; a long interval leaves the picture. {RULE} A name for which there is no room "
        "is left out: its arm is in the tables."
    )


def draw_pareto(block: Block, cost: CostAxis) -> Figure:
    """A mark for every arm, and its name where there is room; the control and the best first.

    Every arm's cost must be known.
    """
    height = LOWEST + LINE * len(block.arms)
    whole = BOTTOM + height + TOP
    figure = Figure(figsize=(WIDTH, whole))
    place = (LEFT / WIDTH, BOTTOM / whole, AXES_WIDTH / WIDTH, height / whole)
    axes = figure.add_axes(place)
    costs = [cost.value(known) for known in block.costs]
    axes.set_xlim(*cost_limits(costs))
    axes.set_ylim(*accuracy_limits(block.arms))
    for arm, value in zip(block.arms, costs, strict=True):
        draw_arm(axes, arm, value, mark_of(arm))
    points = [(value, arm.test.mean) for value, arm in zip(costs, block.arms, strict=True)]
    write_names(axes, block, points, (AXES_WIDTH, height))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(cost.words)
    axes.set_ylabel(f"test {block.score.title}, %")
    axes.set_title(shortened(block.title, 90))
    write_legend(figure, block)
    return figure


def accuracy_limits(arms: list[Arm]) -> tuple[float, float]:
    """The ends of the axis: every mean and every interval of usual width is inside, in 0 to 100."""
    means = [arm.test.mean for arm in arms]
    halves = [
        max(arm.test.high - arm.test.mean, arm.test.mean - arm.test.low)
        for arm in arms
        if arm.test.low is not None and arm.test.high is not None
    ]
    usual = 2.5 * median(halves) if halves else 0.0
    ends = [min(half, usual) for half in halves] or [0.0]
    room = max(0.08 * (max(means) - min(means)), 1.1 * max(ends), 0.05)
    return max(min(means) - room, 0.0 - EDGE), min(max(means) + room, 100.0 + EDGE)


def draw_arm(axes: Axes, arm: Arm, cost: float, mark: Mark) -> None:
    """An arm's mark, and its interval, if it has one."""
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


def write_names(axes: Axes, block: Block, points: list[Point], room: Size) -> None:
    """The names beside the marks, joined to them by thin lines where they are not next to them."""
    names = [shortened(name, LONGEST_NAME) for name in arm_names(block)]
    (left, bottom), (right, top) = zip(axes.get_xlim(), axes.get_ylim(), strict=True)
    inches = [
        ((x - left) / (right - left) * room[0], (y - bottom) / (top - bottom) * room[1])
        for x, y in points
    ]
    order, always = naming_order(block.arms)
    places = place_names(inches, name_sizes(names), room, order, always)
    for number, place in places.items():
        axes.annotate(
            names[number],
            points[number],
            xytext=(place[0] / room[0], place[1] / room[1]),
            textcoords="axes fraction",
            horizontalalignment="center",
            verticalalignment="center",
            fontsize=NAME_POINTS,
            zorder=3,  # the line ends behind the mark
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0},
        )


def naming_order(arms: list[Arm]) -> tuple[list[int], int]:
    """The arms by the right to a name, and how many have one always: the control and the best.

    Then those with a verdict, the others last.
    """
    best = max(range(len(arms)), key=lambda number: arms[number].test.mean)
    first = list(dict.fromkeys([0, best]))
    others = [number for number in range(len(arms)) if number not in first]
    return first + sorted(others, key=lambda number: not mark_of(arms[number]).filled), len(first)


def name_sizes(names: list[str]) -> list[Size]:
    """The width and height of each name, in inches."""
    figure = Figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    font = FontProperties(size=NAME_POINTS)
    sizes = [renderer.get_text_width_height_descent(name, font, False) for name in names]
    tallest = max(height for _, height, _ in sizes)
    return [(width / figure.dpi, tallest / figure.dpi) for width, _, _ in sizes]


def write_legend(figure: Figure, block: Block) -> None:
    """What the marks mean, below the axes."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=mark.shape,
            color=mark.colour,
            markerfacecolor=mark.face,
            label=words,
        )
        for words, mark in legend_of(block).items()
    ]
    figure.legend(
        handles=handles,
        title=RULE,
        title_fontsize=NAME_POINTS,
        loc="lower left",
        ncols=len(handles),
        alignment="left",
    )
