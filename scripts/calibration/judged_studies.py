"""Rows of the report: how often a verdict is false, how often one is given, where none can help."""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from calibration.designs import (
    BETTER,
    EQUIVALENT,
    GROWING,
    UNPLANNED,
    WITHHELD,
    WORSE,
    Codes,
    Design,
    Values,
    declared,
    differences,
    disagreements,
    holm_rejects,
    verdicts,
)
from calibration.simulated_studies import FixedImages, World
from calibration.tables_of_rates import rate
from calibration.worse_worlds import LOST_SHARE, Worse

AnyWorld = World | Worse
ERROR_DESIGNS = (declared(3), declared(5), declared(5, primary=True), declared(12))
FALSE_DESIGNS: tuple[Design, ...] = (*ERROR_DESIGNS, GROWING, UNPLANNED)
MOST_SEEDS = 20
COMPARED = 100  # tables of each world and design that the package judges too


def accuracies(world: AnyWorld, images: FixedImages, num_tables: int, num_seeds: int) -> Values:
    """Percent (tables, arms with control, seeds), the same for every design."""
    print(f"{world.name}, {len(world.effects)} arms, {num_tables} tables", file=sys.stderr)
    random = np.random.default_rng([len(world.effects), *world.name.encode()])
    if isinstance(world, World):
        return images.accuracies(world, num_tables, num_seeds, random)
    return world.accuracies(num_tables, num_seeds, random)


def judged(tables: Values, design: Design, *, check_skewness: bool = True) -> Codes:
    """Codes (tables, arms) by a design; some of the tables are judged by the package as well.

    Raises RuntimeError where the package says something else.
    """
    found = differences(tables, design)
    rule = design.rule(found.shape[1])
    codes = verdicts(found, rule, check_skewness=check_skewness)
    if check_skewness and disagreements(found[:COMPARED], rule, codes[:COMPARED]):
        raise RuntimeError(f"{design.name}: the rule on arrays is not the package's")
    return codes


def is_false(codes: Codes, effects: Sequence[float]) -> NDArray[np.bool_]:
    """(tables,): whether any arm without an effect is better or worse."""
    null = np.array(effects) == 0
    return np.asarray(np.isin(codes, (BETTER, WORSE))[:, null].any(-1))


def false_shares(world: AnyWorld, images: FixedImages, num_tables: int) -> list[float]:
    """Percent of tables with a false verdict, by design."""
    tables = accuracies(world, images, num_tables, MOST_SEEDS)
    return [100 * is_false(judged(tables, d), world.effects).mean() for d in FALSE_DESIGNS]


def again(world: AnyWorld, design: Design, images: FixedImages, num_tables: int) -> str:
    """A cell of the table once more, with other tables; in batches, to save memory."""
    random, size, count = np.random.default_rng(99), 10_000, 0
    for _ in range(max(1, num_tables // size)):
        tables = (
            images.accuracies(world, size, design.seeds, random)
            if isinstance(world, World)
            else world.accuracies(size, design.seeds, random)
        )
        count += int(is_false(judged(tables, design), world.effects).sum())
    total = size * max(1, num_tables // size)
    return f"{world.name}, {len(world.effects)} arms, {design.name}: {rate(count, total)}"


def skewed_row(world: Worse, num_seeds: int, num_tables: int) -> list[str]:
    """False verdicts where runs lose points: in all, without the check, where none was lost."""
    random = np.random.default_rng([len(world.effects), num_seeds])
    tables = world.accuracies(num_tables, num_seeds, random)
    design = declared(num_seeds)
    plain = is_false(judged(tables, design, check_skewness=False), world.effects)
    codes = judged(tables, design)
    wrong = is_false(codes, world.effects)
    lost = np.isin(codes, WITHHELD).any(-1).mean()
    unseen = (1 - LOST_SHARE) ** num_seeds
    return [
        world.name,
        str(len(world.effects)),
        str(num_seeds),
        f"{100 * plain.mean():.1f}",
        rate(int(wrong.sum()), num_tables),
        f"{100 * unseen * power_unseen(num_seeds, len(world.effects)):.1f}",
        f"{100 * lost:.1f}",
    ]


def power_unseen(num_seeds: int, num_arms: int) -> float:
    """The power of one look for the 0.2 points that an arm without a lost run seems better by.

    By the noncentral t at the first step of Holm's method, both arms with the variance of `BASE`.
    """
    shift = 0.2 / np.sqrt(2 * 0.0625 / num_seeds)
    threshold = special.stdtrit(num_seeds - 1, 1 - 0.05 / num_arms / 2)
    return float(1 - special.nctdtr(num_seeds - 1, shift, threshold))


def price_row(world: Worse, num_tables: int, stages: Sequence[int]) -> list[str]:
    """Power with the check of skewness and without, at differences shown with about 0.8."""
    cells = []
    for num_seeds in stages:
        tables = world.accuracies(num_tables, num_seeds, np.random.default_rng(num_seeds))
        tables[:, 1:] += 3.2 * np.sqrt(2 * 0.0625 / num_seeds)
        design = declared(num_seeds)
        plain, checked = (
            100 * (judged(tables, design, check_skewness=check) == BETTER).mean()
            for check in (False, True)
        )
        cells.append(f"{plain:.1f} > {checked:.1f}")
    return [world.name, str(len(world.effects)), *cells]


def verdict_row(
    world: World, images: FixedImages, num_tables: int, stages: Sequence[int]
) -> list[str]:
    """Percent of arms better / worse / equivalent with so many declared seeds; without a plan."""
    tables = accuracies(world, images, num_tables, max(stages))
    cells = []
    for num_seeds in stages:
        for design in (declared(num_seeds, kept=0.01), unplanned_to(num_seeds)):
            codes = judged(tables, design)
            shares = [100 * (codes == code).mean() for code in (BETTER, WORSE, EQUIVALENT)]
            cells.append(" / ".join(f"{share:.0f}" for share in shares))
    return [world.name, str(len(world.effects)), f"{world.effects[0]:g}", *cells]


def unplanned_to(num_seeds: int) -> Design:
    """No plan, with so many seeds."""
    looks = {look: error for look, error in UNPLANNED.looks.items() if look <= num_seeds}
    return Design(f"no plan, {num_seeds}", looks, planned=False)


def power_row(effect: float, num_arms: int, images: FixedImages, num_tables: int) -> list[str]:
    """Power (percent of arms called better), without a plan > declared (primary arm)."""
    world = World("power", (effect,) * num_arms)
    tables = accuracies(world, images, num_tables, 12)
    cells = []
    for num_seeds in (3, 5, 8, 12):
        old, new, first = (
            100 * (judged(tables, design) == BETTER)
            for design in (
                unplanned_to(num_seeds),
                declared(num_seeds),
                declared(num_seeds, primary=True),
            )
        )
        cells.append(f"{old.mean():.0f} > {new.mean():.0f} ({first[:, 0].mean():.0f})")
    return [str(num_arms), f"{effect:g}", *cells]


def pooled_row(world: World, images: FixedImages, num_tables: int) -> list[str]:
    """False verdicts of one look at 5 seeds, by the arm's own residual and by that of the table."""
    tables = accuracies(world, images, num_tables, 5)
    own = is_false(judged(tables, declared(5)), world.effects)
    pooled = (pooled_rejects(tables) & (np.array(world.effects) == 0)).any(-1)
    return [
        world.name,
        str(len(world.effects)),
        rate(int(own.sum()), num_tables),
        rate(int(pooled.sum()), num_tables),
    ]


def pooled_rejects(tables: Values) -> NDArray[np.bool_]:
    """Holm at 0.05 with one residual of accuracy ~ arm + seed for all arms, (tables, arms)."""
    num_tables, num_arms, num_seeds = tables.shape
    arms, seeds = tables.mean(-1, keepdims=True), tables.mean(1, keepdims=True)
    residuals = tables - arms - seeds + tables.mean((1, 2), keepdims=True)
    freedom = (num_arms - 1) * (num_seeds - 1)
    error = np.sqrt((residuals**2).sum((1, 2)) / freedom * 2 / num_seeds)
    found = (arms[:, 1:, 0] - arms[:, :1, 0]) / error[:, None]
    p = 2 * special.stdtr(freedom, -np.abs(found))
    return holm_rejects(p, np.full((num_tables, num_arms - 1), 1.0), 0.05)


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
