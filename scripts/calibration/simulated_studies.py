"""Studies with a known truth, simulated at the level of which image a run gets right.

A run gets image i right with probability Phi(shift - difficulty_i), images independent given the
run. Its shift is the arm's own, plus a seed effect shared by all arms, a part shared by the kin
(all arms but the control) where a condition asks for it, and an arm x seed interaction. The
binomial noise of the images is implicit. Sizes are those of a ResNet-20 on CIFAR-10: 91 %, 10,000
test images, two runs disagree on 8 % of them, which alone is 0.2 points of noise a run.
"""

from dataclasses import dataclass, field
from math import exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

ACCURACY = 91.0  # percent, the control's
NUM_IMAGES = 10_000
DIFFICULTY_SD = 2.0  # in units of the noise of one answer
ARM_DIFFICULTY_SD = 0.5  # the part of it that is an arm's own: which images it finds hard
SEED_SD = 0.15  # points, as all below
OWN_SD = 0.15
IMAGE_SD = 0.2
NOISY = 3.0  # the variance of a noisy arm's own noise, images' included, over a quiet one's
BASE = float(ndtri(ACCURACY / 100))
BASE_SHIFT = BASE * sqrt(1 + DIFFICULTY_SD**2)
# Points of accuracy for a unit of shift: the derivative of 100 Phi(shift / sqrt(1 + sd^2)).
SLOPE = 100 * exp(-(BASE**2) / 2) / sqrt(2 * pi * (1 + DIFFICULTY_SD**2))


@dataclass(frozen=True)
class World:
    """What is true. `effects`: points, one an arm; `noisy`: which arms are, 0 is the control.

    `spread` multiplies the variance of every arm's own noise, images' included.
    """

    name: str
    effects: tuple[float, ...]
    noisy: frozenset[int] = field(default_factory=frozenset)
    kin_sd: float = 0.0
    missing: float = 0.0
    spread: float = 1.0

    def own_sd(self, arm: int) -> float:
        """Points of arm x seed interaction."""
        ratio = self.spread * (NOISY if arm in self.noisy else 1.0)
        return sqrt(ratio * (OWN_SD**2 + IMAGE_SD**2) - IMAGE_SD**2)

    def total_sd(self, arm: int) -> float:
        """Points of everything that moves a run's shift."""
        return sqrt(SEED_SD**2 + self.own_sd(arm) ** 2 + (self.kin_sd**2 if arm else 0))

    def deviations(self, size: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
        """How each run's shift differs from its arm's: (tables, arms with control, seeds)."""
        num_tables, num_seeds = size
        num_arms = len(self.effects) + 1
        seed = random.normal(0, SEED_SD, (num_tables, 1, num_seeds))
        kin = random.normal(0, 1, (num_tables, 1, num_seeds)) * self.kin_sd
        own = random.normal(0, 1, (num_tables, num_arms, num_seeds))
        own *= np.array([self.own_sd(arm) for arm in range(num_arms)])[:, None]
        own[:, 1:] += kin
        return (seed + own) / SLOPE


class FixedImages:
    """A test set of known difficulties, as the verdict sees it: the images do not change."""

    def __init__(self, random: np.random.Generator) -> None:
        self.difficulty = random.normal(0, DIFFICULTY_SD, NUM_IMAGES)
        self.shifts = BASE_SHIFT + np.linspace(-2, 2, 801)
        right = ndtr(self.shifts[:, None] - self.difficulty)  # (801, images)
        self.means = 100 * right.mean(1)
        self.sds = 100 * np.sqrt((right * (1 - right)).sum(1)) / NUM_IMAGES

    def expected(self, shift: float, sd: float) -> float:
        """Percent over all seeds of an arm whose runs' shifts have this mean and sd."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(21)
        return float(weights @ self.mean(shift + sd * nodes) / weights.sum())

    def mean(self, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected percent of runs with these shifts."""
        return np.interp(shifts, self.shifts, self.means)

    def shift_of(self, percent: float, sd: float) -> float:
        """The mean shift of an arm whose expected accuracy is `percent`."""
        return float(brentq(lambda shift: self.expected(shift, sd) - percent, 1, 5))

    def accuracies(
        self, world: World, num_tables: int, num_seeds: int, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """Percent (tables, arms with control, seeds), NaN where a run is missing.

        The number of right answers is a sum of 10,000 independent ones: drawn as a rounded normal
        of its exact mean and variance. `by_image` is the long way.
        """
        shifts = self.run_shifts(world, num_tables, num_seeds, random)
        sds = np.interp(shifts, self.shifts, self.sds)
        noisy = random.normal(self.mean(shifts), sds)
        percent = np.rint(noisy * NUM_IMAGES / 100) * 100 / NUM_IMAGES
        lost = random.random(percent.shape) < world.missing
        lost[:, :, 0] = False
        return np.where(lost, np.nan, percent)

    def run_shifts(
        self, world: World, num_tables: int, num_seeds: int, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """(tables, arms with control, seeds)."""
        targets = [ACCURACY + effect for effect in (0.0, *world.effects)]
        centres = [
            self.shift_of(target, world.total_sd(arm) / SLOPE) for arm, target in enumerate(targets)
        ]
        return np.array(centres)[:, None] + world.deviations((num_tables, num_seeds), random)

    def by_image(
        self, shifts: NDArray[np.float64], random: np.random.Generator
    ) -> NDArray[np.float64]:
        """Percent of runs with these shifts (runs,), every answer drawn."""
        chances = (ndtr(shift - self.difficulty) for shift in shifts)
        return np.array([100 * (random.random(NUM_IMAGES) < chance).mean() for chance in chances])


def correctness(
    world: World, num_seeds: int, num_images: int, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Every answer of one study on images of its own: (arms with control, seeds, images).

    Effects are those on the population of images: 100 Phi(shift / sqrt(1 + all variances)).
    """
    common_sd = sqrt(DIFFICULTY_SD**2 - ARM_DIFFICULTY_SD**2)
    percents = ACCURACY + np.array([0.0, *world.effects])
    difficulty = random.normal(0, common_sd, num_images)
    arms = random.normal(0, ARM_DIFFICULTY_SD, (len(percents), 1, num_images))
    sds = np.array([world.total_sd(arm) / SLOPE for arm in range(len(percents))])
    centres = ndtri(percents / 100) * np.sqrt(1 + DIFFICULTY_SD**2 + sds**2)
    shifts = centres[:, None] + world.deviations((1, num_seeds), random)[0]
    answers = random.random((*shifts.shape, num_images))
    right: NDArray[np.bool_] = answers < ndtr(shifts[..., None] - difficulty - arms)
    return right
