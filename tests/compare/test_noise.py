"""Noise studies: the sd of one run, what a table takes then, and what the commands say of it."""

from math import ceil, sqrt

import numpy as np
import pytest
from scipy import stats

from senet_train.compare.statistics.looks import detectable_in_sd
from senet_train.compare.statistics.noise import NUMBERS_OF_ARMS, SIZES, needs, noise_of
from senet_train.errors import InputError


def test_the_sd_of_one_run_and_its_interval() -> None:
    scores = [90.1, 90.7, 91.2, 90.4, 90.9]
    noise = noise_of(scores)
    assert noise.sd == pytest.approx(np.std(scores, ddof=1))
    squares = 4 * np.var(scores, ddof=1)
    bounds = np.sqrt(squares / stats.chi2.ppf([0.95, 0.05], 4))
    assert (noise.low, noise.high) == pytest.approx(tuple(bounds))
    assert noise.sd_of_difference == pytest.approx(np.std(scores, ddof=1) * sqrt(2))
    assert noise_of([90.0, 90.0]).sd == 0
    with pytest.raises(InputError, match="two runs or more: got 1"):
        noise_of([90.0])


def test_nine_of_ten_intervals_hold_the_sd() -> None:
    generator = np.random.default_rng(0)
    every = [noise_of(list(generator.normal(90, 0.4, 8))) for _ in range(2000)]
    covered = sum(noise.low <= 0.4 <= noise.high for noise in every)
    assert stats.binomtest(covered, 2000, 0.9).pvalue > 0.001


@pytest.mark.parametrize("sd", [0.05, 0.3, 0.9])
def test_the_seeds_are_the_fewest_that_show_the_difference(sd: float) -> None:
    """By counting up from 3, at the error of a plan's last look by the number of arms."""
    found = {(need.size, need.num_arms): need for need in needs(sd)}
    assert list(found) == [(size, arms) for size in SIZES for arms in NUMBERS_OF_ARMS]
    for (size, num_arms), need in found.items():
        level, seeds = 0.04 / num_arms, range(3, 1001)
        assert need.seeds == next((n for n in seeds if detectable_in_sd(level, n) * sd <= size), 0)
        assert need.runs == need.seeds * (num_arms + 1)


def test_so_many_seeds_have_the_power_and_one_fewer_has_not() -> None:
    """Of independent runs: the t-test of scipy at 0.04 finds 0.5 points 8 times in 10."""
    need = next(need for need in needs(0.4) if (need.size, need.num_arms) == (0.5, 1))
    generator = np.random.default_rng(1)

    def power(num_seeds: int) -> float:
        runs = generator.normal(90, 0.4, (2, 20_000, num_seeds))
        return float((stats.ttest_rel(runs[0] + 0.5, runs[1], axis=1).pvalue <= 0.04).mean())

    assert power(need.seeds) >= 0.79
    assert power(need.seeds - 1) < 0.8
    assert need.seeds >= ceil(2 * (0.4 / 0.5) ** 2 * (stats.norm.isf(0.02) + 0.84) ** 2)
