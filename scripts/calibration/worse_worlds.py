"""Worlds that are harder on a verdict: unequal variances, heavy tails, lost runs, coarse test sets.

Accuracies are normal around 91 %: a seed effect, a part that the arms share and the control has
not, an arm's own part, and the noise of the images. Figures are points.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Shape = tuple[int, int, int]
BASE = 0.0625  # variance of what is an arm's own, images' noise of 0.2 points included
LOST_POINTS, LOST_SHARE = 2.0, 0.1


def normal(shape: Shape, random: np.random.Generator) -> Values:
    """What is an arm's own, of unit variance."""
    return random.normal(size=shape)


def student(shape: Shape, random: np.random.Generator) -> Values:
    """Student's t with 3 degrees of freedom, of unit variance."""
    return random.standard_t(3, size=shape) / sqrt(3)


def nothing(shape: Shape, random: np.random.Generator) -> Values:
    """No run loses points."""
    return np.zeros(shape)


def any_run(shape: Shape, random: np.random.Generator) -> Values:
    """A twentieth of all runs loses 2 points."""
    return np.where(random.random(shape) < 0.05, -LOST_POINTS, 0.0)


def one_basin_of_two(shape: Shape, random: np.random.Generator) -> Values:
    """Half of the runs end half a point higher."""
    return np.where(random.random(shape) < 0.5, 0.5, 0.0)


def runs_of(arm: int) -> Callable[[Shape, np.random.Generator], Values]:
    """A tenth of this arm's runs loses 2 points, and all gain 0.2: its mean is as without."""

    def lost(shape: Shape, random: np.random.Generator) -> Values:
        points = np.zeros(shape)
        hit = random.random((shape[0], shape[2])) < LOST_SHARE
        points[:, arm] = LOST_POINTS * (LOST_SHARE - hit)
        return points

    return lost


@dataclass(frozen=True)
class Worse:
    """What is true. `variances` multiply `base`, one for each arm, the control first."""

    name: str
    effects: tuple[float, ...]
    variances: tuple[float, ...] = ()
    base: float = BASE
    seed_sd: float = 0.15
    kin_sd: float = 0.0
    image_sd: float = 0.2
    noise: Callable[[Shape, np.random.Generator], Values] = normal
    loss: Callable[[Shape, np.random.Generator], Values] = nothing
    num_images: int = 10_000
    accuracy: float = 91.0
    missing: float = 0.0

    def accuracies(self, num_tables: int, num_seeds: int, random: np.random.Generator) -> Values:
        """Percent (tables, arms with control, seeds), NaN where a run is missing."""
        num_arms = len(self.effects) + 1
        shape = (num_tables, num_arms, num_seeds)
        variances = np.array(self.variances or (1.0,) * num_arms) * self.base
        image_sds = np.minimum(self.image_sd, np.sqrt(variances))
        own_sds = np.sqrt(variances - image_sds**2)
        percent = self.accuracy + np.array([0.0, *self.effects])[:, None]
        percent = percent + random.normal(0, self.seed_sd, (num_tables, 1, num_seeds))
        percent = percent + own_sds[:, None] * self.noise(shape, random)
        percent[:, 1:] += random.normal(size=(num_tables, 1, num_seeds)) * self.kin_sd
        percent += self.loss(shape, random)
        percent += random.normal(size=shape) * image_sds[:, None]
        percent = np.rint(percent * self.num_images / 100) * 100 / self.num_images
        lost = random.random(shape) < self.missing
        lost[:, 0] = False
        return np.where(lost, np.nan, percent)


def unequal_worlds() -> Iterator[Worse]:
    """Arms of very different variances, and arms that move together."""
    for m in (1, 4, 8):
        yield Worse("control's variance x 10", zeros(m), (10,) + (1,) * m)
    for m in (1, 4):
        yield Worse("control's variance x 30", zeros(m), (30,) + (1,) * m)
    for m in (2, 4, 8):
        yield Worse("one arm's variance x 10", zeros(m), (1, 10) + (1,) * (m - 1))
    for m in (2, 8):
        yield Worse("one arm's variance x 30", zeros(m), (1, 30) + (1,) * (m - 1))
    for m in (4, 8):
        halves = (10,) * (m // 2) + (1,) * (m // 2)
        yield Worse("half the arms' variance x 10", zeros(m), (1, *halves))
    for m, ratio in ((4, 10), (8, 10), (4, 30)):
        yield Worse(f"control's variance / {ratio}", zeros(m), (1,) + (ratio,) * m)
    ladder = tuple(float(v) for v in np.geomspace(1 / 9, 9, 8))
    yield Worse("variances 1/9 to 9", zeros(8), (1.0, *ladder), image_sd=0.05)
    for m in (4, 8):
        yield Worse("arms share 0.5 points", zeros(m), kin_sd=0.5)
    yield Worse("arms share 0.5, control x 3", zeros(8), (3,) + (1,) * 8, kin_sd=0.5)


def odd_worlds() -> Iterator[Worse]:
    """Strong and absent seed effects, heavy tails, lost runs, few images, missing runs."""
    for m in (1, 4):
        yield Worse("seed effect of 0.5 points", zeros(m), seed_sd=0.5)
        yield Worse("no seed effect", zeros(m), seed_sd=0.0)
        yield Worse("3 epochs: sd 0.7", zeros(m), base=0.49, seed_sd=0.0)
    for m in (1, 4, 8):
        yield Worse("tails of t with 3", zeros(m), noise=student, seed_sd=0.0, image_sd=0.05)
        yield Worse("5 % of runs lose 2 points", zeros(m), loss=any_run, seed_sd=0.0)
    yield Worse("two basins", zeros(4), loss=one_basin_of_two, seed_sd=0.0, image_sd=0.1)
    yield Worse("1 epoch: sd 1.35 and 0.65", zeros(1), (1.82, 0.42), base=1.0, seed_sd=0.0)
    for m in (4, 8):
        digits = Worse("digits: 359 images", zeros(m), base=0.52, image_sd=0.7, seed_sd=0.0)
        yield replace(digits, num_images=359, accuracy=98.16)
    coarse = Worse("200 images", zeros(4), base=0.4, image_sd=0.3, seed_sd=0.0)
    yield replace(coarse, num_images=200, accuracy=37.0)
    yield Worse("30 % missing, one arm x 10", zeros(4), (1, 10, 1, 1, 1), missing=0.3)
    mixed = (1.0,) * 4 + (0.0,) * 4
    yield Worse("half 1 point better, one x 10", mixed, (1, 1, 1, 1, 1, 10, 1, 1, 1))


def skewed_worlds() -> Iterator[Worse]:
    """An arm, or the control, loses 2 points in a tenth of its runs."""
    for m in (1, 4):
        yield Worse("an arm loses", zeros(m), loss=runs_of(1), seed_sd=0.0)
        yield Worse("the control loses", zeros(m), loss=runs_of(0), seed_sd=0.0)


def calm_worlds() -> Iterator[Worse]:
    """Nothing is skewed: normal runs, heavy tails, lost runs of every arm alike."""
    for m in (1, 4):
        yield Worse("normal", zeros(m), seed_sd=0.0)
        yield Worse("tails of t with 3", zeros(m), noise=student, seed_sd=0.0, image_sd=0.05)
        yield Worse("5 % of runs lose 2 points", zeros(m), loss=any_run, seed_sd=0.0)


def zeros(num_arms: int) -> tuple[float, ...]:
    """No arm has an effect."""
    return (0.0,) * num_arms
