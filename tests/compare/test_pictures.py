"""Pictures of a comparison: marks say the verdict and nothing else, names lie on nothing."""

import dataclasses
from collections.abc import Iterator
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_reports import accuracies, block

from senet_train.compare.comparison import Block, Spread
from senet_train.compare.pictures.labels import place_names
from senet_train.compare.pictures.marks import CONTROL, VERDICT_MARKS, legend_of, mark_of
from senet_train.compare.pictures.pareto import COSTS, CostAxis, draw_pareto, pareto_caption
from senet_train.compare.render.cells import arm_names
from senet_train.compare.render.sheets import VERDICT_NAMES
from senet_train.figures import STYLE

KINDS = ["se", "eca", "static", "shuffled", "bam", "cbam", "ge_theta_plus", "gct", "srm", "simam"]


def table(num_arms: int, *, key: int = 0, noise: float = 0.3) -> Block:
    """A control and arms with true differences of all kinds, their costs close to each other."""
    generator = np.random.default_rng(key)
    names = [f"{KINDS[i % 10]}_resnet20-r{2 ** (1 + i // 10)}" for i in range(num_arms)]
    by = generator.normal(0, 1.5, num_arms)
    by[::3] *= 0.02
    shifts = {"resnet20": 0.0, **dict(zip(names, map(float, by), strict=True))}
    found = block(accuracies(shifts, 5, noise))
    rates = generator.normal(1200, 40, num_arms + 1)
    arms = [
        dataclasses.replace(
            arm, cost=dataclasses.replace(arm.cost, images_per_second=Spread(rate, rate, rate))
        )
        for arm, rate in zip(found.arms, rates, strict=True)
    ]
    return dataclasses.replace(found, arms=arms)


def test_a_mark_is_the_verdict_and_contradicts_no_mean() -> None:
    seen = set()
    for key in range(12):
        found = table(5, key=key, noise=(0.02, 0.1, 0.5)[key % 3])
        control, *others = found.arms
        assert mark_of(control) == CONTROL
        for arm in others:
            assert arm.difference
            mark = mark_of(arm)
            seen.add(arm.difference.verdict)
            assert (mark == VERDICT_MARKS["worse"]) <= (arm.test.mean < control.test.mean)
            assert (mark == VERDICT_MARKS["better"]) <= (arm.test.mean > control.test.mean)
        for one, other in combinations(others, 2):
            assert one.difference
            assert other.difference
            same = one.difference.verdict == other.difference.verdict
            assert (mark_of(one) == mark_of(other)) == same
    assert seen == {"better", "worse", "equivalent", "undecided"}


def test_each_mark_has_its_own_words() -> None:
    marks = [CONTROL, *VERDICT_MARKS.values()]
    assert len({mark.shape for mark in marks}) == len(marks)  # told apart without colour
    filled = {verdict for verdict, mark in VERDICT_MARKS.items() if mark.filled}
    assert filled == {"better", "worse", "equivalent"}
    found = table(5)
    verdicts = {arm.difference.verdict for arm in found.arms if arm.difference}
    assert set(legend_of(found)) == {"control", *(VERDICT_NAMES[v] for v in verdicts)}
    assert "filled if there is one, hollow if not" in pareto_caption(found, COSTS[0])


def drawn(found: Block, cost: CostAxis) -> tuple[Figure, FigureCanvasAgg]:
    with matplotlib.rc_context(STYLE):
        canvas = FigureCanvasAgg(draw_pareto(found, cost))
        canvas.draw()
    return canvas.figure, canvas


def boxes(figure: Figure, canvas: FigureCanvasAgg) -> Iterator[tuple[str, Bbox]]:
    """Every name in the axes, and where its letters are; without the line to its mark."""
    for text in figure.axes[0].texts:
        yield text.get_text(), Text.get_window_extent(text, canvas.get_renderer())


def overlaps(named: list[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    """The pairs of names that lie on each other."""
    return [(a, b) for (a, one), (b, other) in combinations(named, 2) if one.overlaps(other)]


TABLES = {
    "4 arms": table(3),
    "8 arms": table(7),
    "12 arms": table(11),
    "12 arms, hardly different": table(11, noise=0.01, key=3),
    "20 arms": table(19, key=1),
}


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
@pytest.mark.parametrize("name", TABLES)
def test_names_lie_on_nothing(name: str, cost: CostAxis) -> None:
    found = TABLES[name]
    figure, canvas = drawn(found, cost)
    named = list(boxes(figure, canvas))
    assert overlaps(named) == []
    inside = figure.axes[0].get_window_extent()
    assert all(inside.contains(*box.min) and inside.contains(*box.max) for _, box in named)
    names = dict(zip(arm_names(found), found.arms, strict=True))
    best = max(names, key=lambda arm: names[arm].test.mean)
    assert {"resnet20", best} <= dict(named).keys() <= names.keys()
    assert len(named) >= min(8, len(names))
    for arm in found.arms:
        mark = figure.axes[0].transData.transform((cost.value(arm.cost), arm.test.mean))
        assert not any(box.contains(*mark) for _, box in named)


def test_equal_arms_leave_no_name_on_another() -> None:
    """All marks in one place, long names: those without room are left out, two are there."""
    found = block({f"se_resnet20-r{i}-squeeze_max-pre-stages_34": {0: 90.0} for i in range(12)})
    same = [dataclasses.replace(arm, cost=found.arms[0].cost) for arm in found.arms]
    figure, canvas = drawn(dataclasses.replace(found, arms=same), COSTS[0])
    named = list(boxes(figure, canvas))
    assert overlaps(named) == []
    assert len(named) >= 1
    assert "r0-" in named[0][0]


def test_an_overlap_would_be_noticed() -> None:
    figure, canvas = drawn(TABLES["12 arms"], COSTS[1])
    for text in figure.axes[0].texts:
        text.set_position((0.5, 0.5))
    canvas.draw()
    assert len(overlaps(list(boxes(figure, canvas)))) == 66


def test_the_first_names_stand_even_where_marks_are_everywhere() -> None:
    points = [(x / 8, y / 8) for x in range(17) for y in range(17)]
    placed = place_names(points, [(0.8, 0.12)] * len(points), (2, 2), [0, 100, 200], 2)
    assert placed.keys() == {0, 100}
