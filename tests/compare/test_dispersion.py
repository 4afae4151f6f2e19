"""The variance over seeds that images explain: against a known truth, statsmodels, sums by hand."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q

from senet_train.compare.statistics.dispersion import EXCESSIVE, Dispersion, dispersion_of, times

RATES = np.random.default_rng(0).beta(0.6, 0.2, 1000) * 0.86 + 0.07  # of 1,000 images


def runs(key: int, num_seeds: int, *, run_sd: float = 0.0) -> NDArray[np.int8]:
    """Which images each run has right, if a run adds its own amount to the rate of every image."""
    generator = np.random.default_rng([key, num_seeds])
    width = run_sd * np.sqrt(3)  # of a uniform distribution, which leaves rates in 0..1
    rates = RATES + generator.uniform(-width, width, (num_seeds, 1))
    return (generator.random((num_seeds, len(RATES))) < rates).astype(np.int8)


def found(values: NDArray[np.int8]) -> Dispersion:
    dispersion = dispersion_of(values)
    assert dispersion is not None
    return dispersion


@pytest.mark.parametrize("run_sd", [0.0, 0.01, 0.025])
def test_the_ratio_is_the_true_one(run_sd: float) -> None:
    """1 for independent images; with run effects of variance v it is 1 + v (N^2 - N) / explained.

    For then the score has v and the images' own variances, which hold v as well, once each.
    """
    own = (RATES * (1 - RATES)).sum()
    num_images = len(RATES)
    truth = 1 + run_sd**2 * (num_images**2 - num_images) / own
    ratios = np.array([found(runs(key, 8, run_sd=run_sd)).ratio for key in range(1500)])
    assert ratios.mean() == pytest.approx(truth, abs=4 * stats.sem(ratios))
    assert truth >= {0.0: 1, 0.01: 1.5, 0.025: 5}[run_sd]


def test_what_images_explain_is_the_true_variance_and_a_common_rate_explains_too_much() -> None:
    truth = 100 * np.sqrt((RATES * (1 - RATES)).sum()) / len(RATES)
    explained = np.mean([found(runs(key, 3)).images_sd ** 2 for key in range(200)]) ** 0.5
    assert explained == pytest.approx(truth, rel=0.01)
    common = RATES.mean()
    assert 100 * np.sqrt(common * (1 - common) / len(RATES)) > 1.2 * truth


@pytest.mark.parametrize("num_seeds", [3, 5, 8])
def test_independent_images_are_seldom_excessive_and_run_effects_mostly(num_seeds: int) -> None:
    num_tables = 2000
    alarms = sum(found(runs(key, num_seeds)).is_excessive for key in range(num_tables))
    assert stats.binomtest(alarms, num_tables, EXCESSIVE, alternative="greater").pvalue > 0.001
    real = np.mean([found(runs(key, num_seeds, run_sd=0.04)).is_excessive for key in range(200)])
    assert real > 0.5


@pytest.mark.parametrize("run_sd", [0.0, 0.03])
def test_nine_of_ten_intervals_hold_the_truth(run_sd: float) -> None:
    """With run effects that are normal; those here are uniform, whose interval is too wide."""
    own = (RATES * (1 - RATES)).sum()
    truth = 1 + run_sd**2 * (len(RATES) ** 2 - len(RATES)) / own
    several = [found(runs(key, 5, run_sd=run_sd)) for key in range(1000)]
    covered = np.mean([one.low <= truth <= one.high for one in several])
    assert covered > 0.88


def test_of_runs_it_is_cochrans_q() -> None:
    values = runs(1, 6, run_sd=0.02)
    truth = cochrans_q(values.T)
    one = found(values)
    assert 5 * one.ratio == pytest.approx(truth.statistic)
    assert one.p == pytest.approx(truth.pvalue)
    low, high = 5 * one.ratio / stats.chi2.ppf([0.95, 0.05], 5)
    assert (one.low, one.high) == pytest.approx((low, high))


def test_of_differences_it_is_a_sum_by_hand_and_knows_their_truth() -> None:
    """Only images where exactly one is right vary; what an arm gains on an image is no variance."""
    arm, control = runs(1, 5), runs(2, 5)
    arm[:, :100], control[:, :100] = 1, 0  # always gained: nothing varies there
    differences = arm - control
    by_hand = sum(np.var(differences[:, image], ddof=1) for image in range(len(RATES)))
    one = found(differences)
    assert one.ratio == pytest.approx(np.var(differences.sum(1), ddof=1) / by_hand)
    assert one.images_sd == pytest.approx(100 * by_hand**0.5 / len(RATES))
    several = [found(runs(key, 5) - runs(key + 10_000, 5)) for key in range(1000)]
    ratios = np.array([one.ratio for one in several])
    assert ratios.mean() == pytest.approx(1, abs=4 * stats.sem(ratios))
    alarms = sum(one.is_excessive for one in several)
    assert stats.binomtest(alarms, 1000, EXCESSIVE, alternative="greater").pvalue > 0.001


def test_the_words_have_no_more_digits_than_an_estimate_has() -> None:
    said = [times(replace(found(runs(1, 3)), ratio=ratio)) for ratio in (0.043, 0.96, 1.94, 7.3)]
    assert said == ["0.04 times", "1.0 times", "1.9 times", "7 times"]


def test_nothing_is_said_without_variance() -> None:
    assert dispersion_of(runs(1, 1)) is None
    assert dispersion_of(np.ones((4, 10), np.int8)) is None
    assert dispersion_of(np.repeat(runs(1, 1), 4, axis=0)) is None
