"""Simulated studies through the real `judge`: how often it errs, how often it says what.

A study grows to the last stage and is judged at each. It is wrong if at any stage any arm without
an effect is called better or worse.
"""

import sys
from collections.abc import Iterable, Iterator
from math import nan

import numpy as np
from numpy.typing import NDArray

from calibration.simulated_studies import FixedImages, World
from calibration.tables_of_rates import rate
from senet_train.compare import MARGIN
from senet_train.compare.statistics.looks import LOOKS, holm, look_reached
from senet_train.compare.statistics.verdict import Difference, Verdict, judge

VERDICTS: tuple[Verdict, ...] = ("better", "worse", "equivalent")
Study = list[list[Difference]]


def studied(
    world: World, images: FixedImages, num_tables: int, stages: tuple[int, ...]
) -> Iterator[Study]:
    """Each table of a world, judged at every stage: [stage][arm].

    One at a time: statsmodels' Holm collects garbage, so every study kept makes the next slower.
    """
    print(f"{world.name}, {len(world.effects)} arms, {num_tables} tables", file=sys.stderr)
    random = np.random.default_rng([len(world.effects), *world.name.encode()])
    tables = images.accuracies(world, num_tables, stages[-1], random)
    for table in tables:
        yield [judge(runs_of(table[:, :stage]), "0", margin=MARGIN) for stage in stages]


def runs_of(table: NDArray[np.float64]) -> dict[str, dict[int, float]]:
    """Arm -> seed -> percent, of (arms, seeds) with NaN where a run is missing."""
    return {
        str(arm): {seed: float(value) for seed, value in enumerate(row) if not np.isnan(value)}
        for arm, row in enumerate(table)
    }


def worlds_without_effect() -> Iterator[World]:
    """Nothing to find: arms alike, noisy in several ways, akin, missing, beside real effects."""
    for num_arms in (1, 2, 4, 8):
        none = (0.0,) * num_arms
        yield World("equal variances", none)
        yield World("control noisy", none, frozenset([0]))
        if num_arms > 1:
            yield World("one arm noisy", none, frozenset([1]))
            yield World("arms akin", none, kin_sd=0.25)
        if num_arms > 2:
            yield World("half the arms noisy", none, frozenset(range(1, num_arms // 2 + 1)))
    yield World("a fifth of the runs missing", (0.0,) * 4, missing=0.2)
    yield World("half the arms 1 point better", (1.0,) * 4 + (0.0,) * 4)


def error_row(world: World, studies: Iterable[Study]) -> list[str]:
    """False verdicts and coverage: of the rule, then of the residual pooled over the table."""
    null = {str(arm) for arm, effect in enumerate(world.effects, start=1) if not effect}
    tallies = [tally(study, world, null) for study in studies]
    wrong, wrong_pooled, covered, covered_pooled = map(np.array, zip(*tallies, strict=True))
    return [
        world.name,
        str(len(world.effects)),
        rate(int(wrong.sum()), len(tallies)),
        " / ".join(f"{100 * share:.1f}" for share in np.nanmean(covered, axis=(0, 2))),
        rate(int(wrong_pooled.sum()), len(tallies)),
        f"{100 * np.nanmean(covered_pooled, axis=(0, 1)).min():.1f}",
    ]


def tally(
    study: Study, world: World, null: set[str]
) -> tuple[bool, bool, NDArray[np.float64], NDArray[np.float64]]:
    """Wrong, wrong if pooled; covers and covers if pooled: 1, 0 or NaN, (stages, arms)."""
    nulls = [[d for d in stage if d.arm in null] for stage in study]
    return (
        any(says(stage, null) for stage in study),
        any(pooled_says(stage, null) for stage in study),
        np.array([[covers(d, world) for d in stage] for stage in study]),
        np.array([[nan if d.pooled_p is None else d.pooled_p > 0.05 for d in s] for s in nulls]),
    )


def says(stage: list[Difference], null: set[str]) -> bool:
    """Does the rule call an arm without cause?"""
    return any(d.verdict in ("better", "worse") for d in stage if d.arm in null)


def pooled_says(stage: list[Difference], null: set[str]) -> bool:
    """Would the pooled residual, with Holm and the error of each arm's look?"""
    adjusted = holm([1.0 if d.pooled_p is None else d.pooled_p for d in stage])
    return any(
        p <= LOOKS.get(look_reached(d.num_seeds), 0)
        for p, d in zip(adjusted, stage, strict=True)
        if d.arm in null
    )


def covers(difference: Difference, world: World) -> float:
    """Does the interval hold the truth? NaN without one."""
    if difference.low is None or difference.high is None:
        return nan
    truth = world.effects[int(difference.arm) - 1]
    return float(difference.low <= truth <= difference.high)


def verdict_row(world: World, studies: Iterable[Study]) -> list[str]:
    """Percent of arms better / worse / equivalent at each stage; of tables ever `equivalent`."""
    given = np.array(
        [
            [[[d.verdict == v for v in VERDICTS] for d in stage] for stage in study]
            for study in studies
        ]
    )  # (tables, stages, arms, verdicts)
    shares = 100 * given.mean((0, 2))
    ever = int(given[..., VERDICTS.index("equivalent")].any((1, 2)).sum())
    named = [world.name, str(len(world.effects)), f"{world.effects[0]:g}"]
    return [*named, *(" / ".join(f"{s:.1f}" for s in at) for at in shares), rate(ever, len(given))]
