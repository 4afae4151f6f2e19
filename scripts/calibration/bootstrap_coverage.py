"""How often a 95 % interval holds the truth when seeds and images are both new."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from calibration.simulated_studies import World, correctness
from calibration.tables_of_rates import rate
from senet_train.compare.statistics.bootstrap import bootstrap_over_images_and_seeds, image_weights

NUM_IMAGES = 2000
NUM_SAMPLES = 1000
EFFECT = 0.3  # points


def coverage_rows(num_tables: int, stages: tuple[int, ...]) -> Iterator[list[str]]:
    """Seeds, then the coverage and mean width (points) of the bootstrap and of the paired t."""
    weights = image_weights(NUM_IMAGES, num_samples=NUM_SAMPLES)
    for num_seeds in stages:
        random = np.random.default_rng(num_seeds)
        found = np.array([intervals(num_seeds, weights, random) for _ in range(num_tables)])
        inside = ((found[..., 0] <= EFFECT) & (found[..., 1] >= EFFECT)).sum(0)
        widths = np.diff(found, axis=2).mean(0)[:, 0]
        cells = [
            (rate(int(i), num_tables), f"{w:.2f}") for i, w in zip(inside, widths, strict=True)
        ]
        yield [str(num_seeds), *cells[0], *cells[1]]


def intervals(
    num_seeds: int, weights: np.ndarray, random: np.random.Generator
) -> list[tuple[float, float]]:
    """The bootstrap's and the paired t's interval for one new study of one arm."""
    control, arm = correctness(World("one arm", (EFFECT,)), num_seeds, NUM_IMAGES, random)
    differences = 100 * (arm.mean(1) - control.mean(1))
    paired = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return [
        bootstrap_over_images_and_seeds(arm, control, weights=weights),
        (float(paired.low), float(paired.high)),
    ]
