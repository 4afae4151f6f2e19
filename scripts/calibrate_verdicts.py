"""Is the verdict right? Simulate studies whose truth is known and count what the rule says.

    uv run scripts/calibrate_verdicts.py [--quick] [--out docs/evidence/verdicts.md]

Every design is judged in every world: declared seeds, a growing study, runs without a plan. About
half an hour on one core (OPENBLAS_NUM_THREADS=1 keeps it on one); --quick takes some minutes and
measures little.
"""

import argparse
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from time import perf_counter

import numpy as np
from calibration.bootstrap_coverage import NUM_IMAGES, NUM_SAMPLES, coverage_rows
from calibration.extensions import CASES, extension_row
from calibration.judged_studies import (
    COMPARED,
    FALSE_DESIGNS,
    again,
    false_shares,
    pooled_row,
    power_row,
    price_row,
    skewed_row,
    verdict_row,
    worlds_without_effect,
)
from calibration.pairing_power import CORRELATIONS, SHOWN, pairing_rows
from calibration.simulated_studies import FixedImages, World
from calibration.tables_of_rates import markdown
from calibration.verdict_prose import (
    BOOTSTRAP,
    EXTENSIONS,
    FALSE_VERDICTS,
    GIVEN_VERDICTS,
    INTRODUCTION,
    PAIRING,
    POOLED,
    POWER,
    SHOWN_BY_SEEDS,
    SIGNATURE,
    SKEWED,
)
from calibration.worse_worlds import calm_worlds, odd_worlds, skewed_worlds, unequal_worlds

from senet_train.compare import MARGIN
from senet_train.compare.statistics.looks import LOOKS, detectable_in_sd
from senet_train.runs.environment import cpu_name, git_commit

STAGES = (3, 5, 8, 12)
ARMS = (1, 2, 4, 8)


def main() -> None:
    """Print the report, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = "".join(sections(0.05 if arguments.quick else 1.0))
    if arguments.out:
        arguments.out.write_text(report)
    else:
        print(report)


def sections(scale: float) -> Iterator[str]:
    """The report, part by part; `scale` multiplies the numbers of tables."""
    started = perf_counter()
    commit = git_commit()
    images = FixedImages(np.random.default_rng(0))
    yield introduction(images, round(3000 * scale))
    yield false_verdicts(images, round(10_000 * scale))
    yield skewed(round(20_000 * scale))
    yield given_verdicts(images, round(2000 * scale))
    yield power(images, round(2000 * scale))
    yield extensions(round(200_000 * scale))
    yield pooled(images, round(10_000 * scale))
    yield bootstrap(round(1000 * scale))
    yield pairing(round(20_000 * scale))
    yield shown_by_seeds()
    minutes = (perf_counter() - started) / 60
    yield SIGNATURE.format(commit=commit, cpu=cpu_name(), minutes=minutes)


def introduction(images: FixedImages, num_checked: int) -> str:
    """What was simulated, and the check of its short cut."""
    random = np.random.default_rng(1)
    world = World("check", (0.0,))
    short = images.accuracies(world, num_checked, 1, random)[:, 0, 0]
    shifts = images.run_shifts(world, num_checked, 1, random)[:, 0, 0]
    by_image = images.by_image(shifts, random)
    return INTRODUCTION.format(
        num_compared=COMPARED,
        at_3=detectable_in_sd(0.04, 3),
        at_5=detectable_in_sd(0.04, 5),
        old_at_5=detectable_in_sd(LOOKS[5], 5),
        num_checked=f"{num_checked:,}",
        short_mean=short.mean(),
        long_mean=by_image.mean(),
        short_sd=short.std(),
        long_sd=by_image.std(),
    )


def false_verdicts(images: FixedImages, num_tables: int) -> str:
    """How often a table without cause gets a verdict."""
    high = 5 + 196 * sqrt(0.05 * 0.95 / num_tables)
    tables, rechecked = [], []
    for worlds in (worlds_without_effect(), [*unequal_worlds(), *odd_worlds()]):
        rows = []
        for world in worlds:
            shares = false_shares(world, images, num_tables)
            rows.append([world.name, str(len(world.effects)), *(f"{s:.1f}" for s in shares)])
            above = [d for d, s in zip(FALSE_DESIGNS, shares, strict=True) if s > high]
            rechecked += [again(world, design, images, 10 * num_tables) for design in above]
        head = "|".join(["world", "arms", *(design.name for design in FALSE_DESIGNS)])
        tables.append(markdown(head, rows))
    return FALSE_VERDICTS.format(
        num_tables=num_tables,
        low=10 - high,
        high=high,
        table=tables[0],
        table_worse=tables[1],
        num_again=10 * num_tables,
        again="\n".join(f"- {line}" for line in rechecked) or "- none",
    )


def skewed(num_tables: int) -> str:
    """Where runs lose points: what a check can do, what it costs."""
    head = (
        "world|arms|seeds|false, without the check|false|at least, by any rule of this power|"
        "withheld"
    )
    stages = (3, 5, 8, 12, 20, 30, 40)
    rows = [skewed_row(world, n, num_tables) for world in skewed_worlds() for n in stages]
    later = (8, 12, 20, 30)
    price = markdown(
        "|".join(["world", "arms", *(f"{n} seeds" for n in later)]),
        [price_row(world, num_tables, later) for world in calm_worlds()],
    )
    return SKEWED.format(num_tables=num_tables, table=markdown(head, rows), table_price=price)


def given_verdicts(images: FixedImages, num_tables: int) -> str:
    """Every verdict's frequency, by variances, arms, effect and seeds."""
    noises = (("equal variances", frozenset[int]()), ("control noisy", frozenset([0])))
    worlds = [
        World(name, (effect,) * num_arms, noisy)
        for name, noisy in noises
        for num_arms in (1, 4, 8)
        for effect in (0.0, 0.1, 0.3, 1.0)
    ]
    rows = [verdict_row(world, images, num_tables, STAGES) for world in worlds]
    stages = "|".join(f"{stage} declared|{stage}, no plan" for stage in STAGES)
    table = markdown(f"world|arms|effect|{stages}", rows)
    return GIVEN_VERDICTS.format(num_tables=num_tables, margin=MARGIN, table=table)


def power(images: FixedImages, num_tables: int) -> str:
    """Old against new: power at some effects, and the seeds that an effect takes."""
    rows = [
        power_row(effect, num_arms, images, num_tables)
        for num_arms in (1, 4, 8)
        for effect in (0.1, 0.3, 0.5, 1.0)
    ]
    stages = "|".join(f"{stage} seeds" for stage in STAGES)
    seeds = [
        [str(m), *(str(fewest_seeds(level)) for level in levels_of(m)), str(fewest_unplanned(m))]
        for m in (1, 4, 8)
    ]
    head = (
        "arms|nothing kept|default reserve|primary, nothing kept|primary, default reserve|no plan"
    )
    return POWER.format(
        num_tables=num_tables,
        table=markdown(f"arms|effect|{stages}", rows),
        table_seeds=markdown(head, seeds),
    )


def levels_of(num_arms: int) -> list[float]:
    """An arm's error at Holm's first step: of equal arms and a primary one; 0 and 0.01 kept."""
    primary = 1.0 if num_arms == 1 else 0.5
    return [error * part for part in (1 / num_arms, primary) for error in (0.05, 0.04)]


def fewest_seeds(level: float) -> int:
    """The fewest seeds that show 2 residual sd with power 0.8 at this level."""
    return next(n for n in range(3, 100) if detectable_in_sd(level, n) <= 2)


def fewest_unplanned(num_arms: int) -> int:
    """The first look without a plan that does."""
    return next(n for n, error in LOOKS.items() if detectable_in_sd(error / num_arms, n) <= 2)


def extensions(num_tables: int) -> str:
    """What choosing the length of an extension costs."""
    head = (
        "first seeds|error|extension's error|false, first plan|false, 12 seeds in all|"
        "false, worst length"
    )
    rows = [extension_row(case, num_tables) for case in CASES]
    return EXTENSIONS.format(num_tables=num_tables, table=markdown(head, rows))


def pooled(images: FixedImages, num_tables: int) -> str:
    """The rule that was tried first."""
    worlds = [world for world in worlds_without_effect() if len(world.effects) == 8]
    full = [world for world in worlds if not world.missing]
    table = markdown(
        "world|arms|own residual|pooled", [pooled_row(w, images, num_tables) for w in full]
    )
    return POOLED.format(num_tables=num_tables, table=table)


def bootstrap(num_tables: int) -> str:
    """The bootstrap's coverage, whatever it is."""
    head = "seeds|bootstrap|width|the verdict's interval|width"
    return BOOTSTRAP.format(
        num_tables=num_tables,
        num_images=NUM_IMAGES,
        num_samples=NUM_SAMPLES,
        table=markdown(head, coverage_rows(num_tables, STAGES)),
    )


def pairing(num_tables: int) -> str:
    """Power by correlation, and where pairing begins to pay."""
    shown = "|".join(f"rho {CORRELATIONS[index]:g}" for index in SHOWN)
    table = markdown(f"seeds|difference|{shown}|break-even", pairing_rows(num_tables, STAGES))
    return PAIRING.format(num_tables=num_tables, table=table)


def shown_by_seeds() -> str:
    """The smallest difference that so many seeds show, with a plan and without."""
    rows = []
    for num_seeds in (3, 4, 5, 6, 8, 10, 12, 20):
        cells = [str(num_seeds)]
        for arms in ARMS:
            shown = [detectable_in_sd(error / arms, num_seeds) for error in (0.04, 0.05)]
            old = detectable_in_sd(LOOKS[num_seeds] / arms, num_seeds) if num_seeds in LOOKS else 0
            cells.append(" / ".join([*(f"{s:.2f}" for s in shown), f"{old:.2f}" if old else "-"]))
        rows.append(cells)
    columns = "|".join(f"{m} {'arm' if m == 1 else 'arms'}" for m in ARMS)
    return SHOWN_BY_SEEDS.format(table=markdown(f"seeds|{columns}", rows))


if __name__ == "__main__":
    main()
