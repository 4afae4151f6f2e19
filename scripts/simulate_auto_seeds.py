"""Does `seeds=auto` save runs at equal error and equal power? Simulated studies, known truth.

    uv run scripts/simulate_auto_seeds.py [--tables 400] [--out docs/evidence/auto_seeds.md]

Grows every study by the program's own verdicts and steps, and asks how many runs a fixed number of
seeds needs for the same power. About 5 minutes on one core.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
from calibration.auto_prose import REPORT
from calibration.grown_studies import KEPT, Grown, fixed, grown_study, is_false, is_right
from calibration.simulated_studies import FixedImages, World
from calibration.tables_of_rates import markdown, rate
from numpy.typing import NDArray

from senet_train.compare.statistics.looks import LOOKS
from senet_train.runs.environment import cpu_name, git_commit

EFFECTS = (0.0, 0.1, 0.3, 1.0)  # points
RESIDUAL_SD = 0.25  # points, a World's at spread 1
SDS = (0.25, 0.7)
MOST = 40  # seeds of a fixed design
LAST_LOOK = max(LOOKS)
NUM_BATCHES = 10  # of tables, for the error of what is saved


@dataclass(frozen=True)
class Studied:
    """Tables of one world as each design ends them: (tables, arms) right or not, runs of a table.

    `single` and `planned` hold fixed numbers of seeds -> right or not.
    """

    world: World
    auto: NDArray[np.bool_]
    runs: NDArray[np.int64]
    false: NDArray[np.int64]  # (2, tables): better or worse without cause, equivalent without
    single: dict[int, NDArray[np.bool_]]
    planned: dict[int, NDArray[np.bool_]]
    false_single: NDArray[np.int64]  # at the last look, as `false`
    false_planned: NDArray[np.int64]
    stopped: NDArray[np.float64]  # (arms called better, 5)


def main() -> None:
    """Print the report, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started, commit = perf_counter(), git_commit()
    images = FixedImages(np.random.default_rng(0))
    groups = [
        [studied(world, images, arguments.tables) for world in worlds] for worlds in all_worlds()
    ]
    report = REPORT.format(
        num_tables=f"{arguments.tables:,}",
        averaged=markdown(AVERAGED, map(averaged_row, groups)),
        each=markdown(EACH, [each_row(one) for group in groups for one in group]),
        stopped=markdown(STOPPED, [row for group in groups for row in stopped_rows(group)]),
        commit=commit,
        cpu=cpu_name(),
        minutes=(perf_counter() - started) / 60,
    )
    if arguments.out:
        arguments.out.write_text(report)
    else:
        print(report)


def all_worlds() -> Iterator[list[World]]:
    """Groups over which effects are averaged: one world each, or all effects in one table."""
    for sd in SDS:
        spread = (sd / RESIDUAL_SD) ** 2
        for num_arms in (1, 4):
            yield [World(f"{sd}", (effect,) * num_arms, spread=spread) for effect in EFFECTS]
        yield [World(f"{sd}", EFFECTS, spread=spread)]


def studied(world: World, images: FixedImages, num_tables: int) -> Studied:
    """Every table of a world through every design."""
    print(f"sd {world.name}, effects {world.effects}", file=sys.stderr)
    random = np.random.default_rng(round(1000 * sum(world.effects)) + 7 * len(world.effects))
    tables = images.accuracies(world, num_tables, MOST, random)
    effects = np.array(world.effects)
    grown = [grown_study(table[:, :LAST_LOOK]) for table in tables]
    codes = np.array([study.codes for study in grown])
    planned, single = (
        {num: fixed(tables, num, kept) for num in range(3, MOST + 1)} for kept in (KEPT, 0.0)
    )
    return Studied(
        world=world,
        auto=is_right(codes, effects),
        runs=np.array([study.num_runs for study in grown]),
        false=is_false(codes, effects),
        single={num: is_right(found, effects) for num, found in single.items()},
        planned={num: is_right(found, effects) for num, found in planned.items()},
        false_single=is_false(single[LAST_LOOK], effects),
        false_planned=is_false(planned[LAST_LOOK], effects),
        stopped=np.array(list(stopped(grown, effects))).reshape(-1, 5),
    )


def stopped(grown: Sequence[Grown], effects: NDArray[np.float64]) -> Iterator[tuple[float, ...]]:
    """Of each arm called better: truth, difference, shrunken difference, seeds, interval's hit."""
    for study in grown:
        for effect, found in zip(effects, study.figures, strict=True):
            if found.verdict == "better":
                low, high = found.low or 0.0, found.high or 0.0
                figures = found.difference or 0.0, found.shrunken or 0.0
                yield effect, *figures, found.num_seeds, low <= effect <= high


AVERAGED = (
    "sd|arms|power|runs|seeds at one look for that power|runs saved, %|seeds at plan, 0.01 kept, "
    "for that power|runs saved, %|runs saved of 20 seeds, %|power of those 20"
)


def averaged_row(group: Sequence[Studied]) -> list[str]:
    """Power and runs over the effects; what a fixed number needs for the same power."""
    world = group[0].world
    mixed = len(set(world.effects)) > 1
    power, num_runs = means(group, slice(None))
    num_arms = len(world.effects) + 1
    singles, planned = needed(group, "single", power), needed(group, "planned", power)
    return [
        world.name,
        f"{len(world.effects)}{', one of each effect' if mixed else ''}",
        f"{power:.2f}",
        f"{num_runs:.1f}",
        f"{singles:.1f}",
        saved(group, "single"),
        f"{planned:.1f}",
        saved(group, "planned"),
        f"{100 * (1 - num_runs / (LAST_LOOK * num_arms)):.0f}",
        f"{np.mean([one.planned[LAST_LOOK].mean() for one in group]):.2f}",
    ]


def means(group: Sequence[Studied], batch: slice) -> tuple[float, float]:
    """Power and runs of `seeds=auto`, averaged over worlds."""
    power = np.mean([one.auto[batch].mean() for one in group])
    return float(power), float(np.mean([one.runs[batch].mean() for one in group]))


def needed(
    group: Sequence[Studied],
    design: Literal["single", "planned"],
    power: float,
    batch: slice = slice(None),
) -> float:
    """The first fixed number of seeds with this power over the worlds, interpolated."""
    numbers = list(getattr(group[0], design))
    reached = [
        np.mean([getattr(one, design)[num][batch].mean() for one in group]) for num in numbers
    ]
    enough = next((index for index, share in enumerate(reached) if share >= power), None)
    if not enough:
        return float(numbers[-1] if enough is None else numbers[0])
    below, above = enough - 1, enough
    part = (power - reached[below]) / (reached[above] - reached[below])
    return float(numbers[below] + part * (numbers[above] - numbers[below]))


def saved(group: Sequence[Studied], design: Literal["single", "planned"]) -> str:
    """Percent of runs saved against the fixed number, and its standard error over batches."""
    num_arms = len(group[0].world.effects) + 1
    num_tables = len(group[0].runs)

    def percent(batch: slice) -> float:
        power, num_runs = means(group, batch)
        return 100 * (1 - num_runs / (num_arms * needed(group, design, power, batch)))

    edges = np.linspace(0, num_tables, NUM_BATCHES + 1).astype(int)
    batches = [percent(slice(low, high)) for low, high in pairwise(edges)]
    return f"{percent(slice(None)):.0f} +- {np.std(batches, ddof=1) / sqrt(NUM_BATCHES):.0f}"


EACH = (
    "sd|arms|effect|power|runs|one look, same power: seeds|false better or worse|false "
    "equivalent|all 20 seeds: false better or worse|one look at 20: false better or worse"
)


def each_row(one: Studied) -> list[str]:
    """One world: power, runs, errors of each design in percent of tables."""
    effects = sorted(set(one.world.effects))
    power = float(one.auto.mean())
    total = len(one.runs)
    return [
        one.world.name,
        str(len(one.world.effects)),
        " ".join(f"{effect:g}" for effect in effects),
        f"{power:.2f}",
        f"{one.runs.mean():.1f}",
        f"{needed([one], 'single', power):.1f}",
        rate(int(one.false[0].sum()), total),
        rate(int(one.false[1].sum()), total),
        rate(int(one.false_planned[0].sum()), total),
        rate(int(one.false_single[0].sum()), total),
    ]


STOPPED = (
    "sd|arms|effect|called better|seeds, mean|difference, mean|shrunken, mean|"
    "interval holds the truth, %"
)


def stopped_rows(group: Sequence[Studied]) -> Iterator[list[str]]:
    """The figures of arms called better, where ten or more were, by effect."""
    for one in group:
        for effect in sorted(set(one.world.effects)):
            rows = one.stopped[one.stopped[:, 0] == effect]
            if len(rows) >= 10:
                _, found, shrunken, seeds, covered = rows.mean(0)
                total = sum(e == effect for e in one.world.effects) * len(one.runs)
                yield [
                    one.world.name,
                    str(len(one.world.effects)),
                    f"{effect:g}",
                    f"{len(rows)} of {total}",
                    *(f"{value:.2f}" for value in (seeds, found, shrunken)),
                    f"{100 * covered:.0f}",
                ]


if __name__ == "__main__":
    main()
