"""Is the verdict right? Simulate studies whose truth is known and count what the rule says.

    uv run scripts/calibrate_verdicts.py [--quick] [--out docs/evidence/verdicts.md]

Every study grows to 12 seeds and is judged at 3, 5, 8 and 12 by the rule that senet-compare uses.
About 10 minutes on one core (OPENBLAS_NUM_THREADS=1 keeps it on one); --quick takes one minute
and measures little.
"""

import argparse
import gc
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from calibration.bootstrap_coverage import NUM_IMAGES, NUM_SAMPLES, coverage_rows
from calibration.judged_studies import (
    MARGIN,
    error_row,
    studied,
    verdict_row,
    worlds_without_effect,
)
from calibration.pairing_power import CORRELATIONS, SHOWN, pairing_rows
from calibration.simulated_studies import FixedImages, World
from calibration.tables_of_rates import markdown
from calibration.verdict_prose import (
    BOOTSTRAP,
    FALSE_VERDICTS,
    GIVEN_VERDICTS,
    INTRODUCTION,
    PAIRING,
    SHOWN_BY_SEEDS,
    SIGNATURE,
)

from senet_train.compare.statistics.looks import LOOKS, detectable_in_sd
from senet_train.runs.environment import cpu_name, git_commit

STAGES = (3, 5, 8, 12)


def main() -> None:
    """Print the report, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    gc.freeze()  # statsmodels' Holm collects garbage at every call
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
    yield false_verdicts(images, round(2000 * scale))
    yield given_verdicts(images, round(300 * scale))
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
        spent=sum(LOOKS.values()),
        at_3=detectable_in_sd(1, 3),
        num_checked=f"{num_checked:,}",
        short_mean=short.mean(),
        long_mean=by_image.mean(),
        short_sd=short.std(),
        long_sd=by_image.std(),
    )


def false_verdicts(images: FixedImages, num_tables: int) -> str:
    """How often a table without cause gets a verdict."""
    worlds = worlds_without_effect()
    rows = [error_row(world, studied(world, images, num_tables, STAGES)) for world in worlds]
    head = "world|arms|false verdicts|coverage|pooled: false verdicts|pooled: worst coverage"
    return FALSE_VERDICTS.format(num_tables=num_tables, table=markdown(head, rows))


def given_verdicts(images: FixedImages, num_tables: int) -> str:
    """Every verdict's frequency, by variances, arms, effect and seeds."""
    noises = (("equal variances", frozenset[int]()), ("control noisy", frozenset([0])))
    worlds = [
        World(name, (effect,) * num_arms, noisy)
        for name, noisy in noises
        for num_arms in (1, 4, 8)
        for effect in (0.0, 0.1, 0.3, 1.0)
    ]
    rows = [verdict_row(world, studied(world, images, num_tables, STAGES)) for world in worlds]
    stages = "|".join(f"{stage} seeds" for stage in STAGES)
    table = markdown(f"world|arms|effect|{stages}|ever equivalent", rows)
    return GIVEN_VERDICTS.format(num_tables=num_tables, margin=MARGIN, table=table)


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
    """The looks, and the smallest difference a dry run announces at each."""
    rows = [
        [str(look), f"{error:g}", *(f"{detectable_in_sd(arms, look):.2f}" for arms in (1, 2, 4, 8))]
        for look, error in LOOKS.items()
    ]
    return SHOWN_BY_SEEDS.format(table=markdown("seeds|error|1 arm|2 arms|4 arms|8 arms", rows))


if __name__ == "__main__":
    main()
