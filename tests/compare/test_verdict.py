"""The verdict against independent truths: scipy, a formula, sums by hand, simulated tables."""

from collections.abc import Iterable
from dataclasses import replace
from math import inf, nan, sqrt
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest
from compare_runs import Table, table
from scipy import optimize, stats
from statsmodels.formula.api import ols
from statsmodels.stats.weightstats import ttost_paired

from senet_train.compare.statistics.bootstrap import bootstrap_over_images_and_seeds, image_weights
from senet_train.compare.statistics.contrast import arm_interval, paired_contrast, pooled_contrasts
from senet_train.compare.statistics.looks import (
    LOOKS,
    detectable_in_sd,
    unplanned,
    weighted_holm,
)
from senet_train.compare.statistics.verdict import judge
from senet_train.errors import InputError


def shifted(runs: dict[int, float], by: float) -> dict[int, float]:
    return {seed: accuracy + by for seed, accuracy in runs.items()}


@pytest.mark.parametrize("num_seeds", [3, 5, 8])
def test_one_arm_is_the_paired_t(num_seeds: int) -> None:
    accuracies = table(1, num_seeds)
    [difference] = judge(accuracies, "none")
    truth = stats.ttest_rel(list(accuracies["a1"].values()), list(accuracies["none"].values()))
    interval = truth.confidence_interval(0.95)
    assert difference.p == pytest.approx(truth.pvalue, rel=1e-9)
    assert difference.paired_p == pytest.approx(truth.pvalue, rel=1e-9)
    assert difference.pooled_p == pytest.approx(truth.pvalue, rel=1e-9)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    differences = np.array([accuracies["a1"][s] - y for s, y in accuracies["none"].items()])
    contrast = paired_contrast(differences)
    assert contrast.residual_sd == pytest.approx(np.std(differences, ddof=1) / sqrt(2))
    assert difference.residual_sd == pytest.approx(contrast.residual_sd)


def test_pooled_model_is_the_formula_on_unbalanced_data() -> None:
    accuracies = table(3, 6)
    for arm, seed in [("none", 5), ("a1", 0), ("a1", 2), ("a3", 4)]:
        del accuracies[arm][seed]
    frame = pd.DataFrame(
        [(arm, s, y) for arm, runs in accuracies.items() for s, y in runs.items() if s != 5],
        columns=["arm", "seed", "y"],
    )
    fit = ols("y ~ C(arm, Treatment('none')) + C(seed)", frame).fit()
    contrasts = pooled_contrasts(accuracies, "none")
    assert list(contrasts) == ["a1", "a2", "a3"]
    for arm, contrast in contrasts.items():
        name = f"C(arm, Treatment('none'))[T.{arm}]"
        assert contrast.difference == pytest.approx(fit.params[name])
        assert contrast.p_value() == pytest.approx(fit.pvalues[name])
        assert contrast.interval() == pytest.approx(tuple(fit.conf_int().loc[name]))
    assert contrasts["a1"].residual_sd == pytest.approx(sqrt(fit.mse_resid))


def test_each_verdict_on_unbalanced_data_is_that_of_the_shared_seeds() -> None:
    accuracies = table(3, 8)
    del accuracies["a2"][1], accuracies["none"][6]
    shared = [seed for seed in range(8) if seed not in (1, 6)]
    differences = [accuracies["a2"][s] - accuracies["none"][s] for s in shared]
    found = judge(accuracies, "none")[1]
    assert (found.arm, found.num_seeds, found.look) == ("a2", 6, 5)
    assert found.difference == pytest.approx(np.mean(differences))
    assert found.paired_p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def equal(arms: Iterable[str]) -> dict[str, float]:
    names = list(arms)
    return dict.fromkeys(names, 1 / len(names))


def test_holm_by_hand() -> None:
    p = dict(zip("abcd", [0.01, 0.04, 0.03, 0.005], strict=True))
    assert list(weighted_holm(p, equal(p)).values()) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    accuracies = table(3, 5)
    plain = [found.paired_p for found in judge(accuracies, "none")]
    first, second, third = sorted(plain)
    by_hand = {
        first: 3 * first,
        second: max(3 * first, 2 * second),
        third: max(3 * first, 2 * second, third),
    }
    adjusted = [found.p for found in judge(accuracies, "none")]
    assert adjusted == pytest.approx([min(1, by_hand[p]) for p in plain])


def test_equivalence_is_two_one_sided_tests() -> None:
    accuracies = table(1, 8, sd=0.1, key=3)
    [found] = judge(accuracies, "none", margin=0.4)
    assert found.look == 5  # settled there: the other three seeds change nothing
    arm, control = (np.array(list(accuracies[name].values()))[:5] for name in ("a1", "none"))
    assert found.p_equivalence == pytest.approx(ttost_paired(arm, control, -0.4, 0.4)[0])
    assert found.verdict == "equivalent"
    assert found.words == "equivalent within +-0.4 points"
    [strict] = judge(accuracies, "none", margin=0.05)
    assert strict.verdict == "undecided"


def test_better_worse_and_better_by_less_than_the_margin() -> None:
    quiet = table(1, 5, sd=0.001)
    for by, verdict, words in [
        (1.0, "better", "better"),
        (-1.0, "worse", "worse"),
        (0.1, "better", "better, but by less than 0.3 points"),
    ]:
        [found] = judge({"none": quiet["none"], "a1": shifted(quiet["a1"], by)}, "none")
        assert (found.verdict, found.words) == (verdict, words)


def test_looks_spend_five_percent() -> None:
    assert list(LOOKS) == [3, 5, 8, 12, 20]
    assert sum(LOOKS.values()) == pytest.approx(0.05)
    seeds = [0, 2, 3, 4, 5, 7, 8, 19, 20, 99]
    assert [unplanned([]).reached(n) for n in seeds] == [0, 0, 3, 3, 5, 5, 8, 12, 20, 20]


def test_a_seed_between_looks_changes_no_verdict_whatever_it_says() -> None:
    accuracies = table(2, 5)
    before = judge(accuracies, "none")
    after = judge(
        {arm: {**runs, 9: 10.0 + 80 * (arm == "a1")} for arm, runs in accuracies.items()}, "none"
    )
    for old, new in zip(before, after, strict=True):
        assert (new.num_seeds, new.look) == (6, 5)
        assert (new.p, new.p_equivalence, new.verdict) == (old.p, old.p_equivalence, old.verdict)
    assert after[0].difference != before[0].difference


def test_arms_of_one_table_stand_at_their_own_looks_in_one_family() -> None:
    accuracies = table(2, 5)
    ahead = judge(accuracies, "none")[0]
    accuracies["a2"] = {seed: accuracies["a2"][seed] for seed in range(3)}
    first, second = judge(accuracies, "none")
    assert (first.look, second.look) == (5, 3)
    assert first.p == pytest.approx(min(1, 2 * first.paired_p))  # a2 still counts: as p = 1
    assert first.p >= ahead.p
    third = {arm: {seed: runs[seed] for seed in range(3)} for arm, runs in accuracies.items()}
    assert second.p == judge(third, "none")[1].p


def test_the_first_look_that_gives_a_verdict_settles_the_arm() -> None:
    """Whatever the arm's later seeds say, and whether they were trained at all."""
    quiet = table(2, 20, sd=0.02)
    quiet["a1"] = {s: y + (3 if s < 3 else -3) for s, y in quiet["a1"].items()}
    whole = judge(quiet, "none")
    stopped = judge({**quiet, "a1": {s: quiet["a1"][s] for s in range(3)}}, "none")
    assert (whole[0].verdict, whole[0].look, whole[0].num_seeds) == ("better", 3, 20)
    assert (stopped[0].verdict, stopped[0].p) == (whole[0].verdict, whole[0].p)
    assert stopped[1] == replace(whole[1], residual_sd=ANY, pooled_p=ANY)


def test_what_was_shown_leaves_holms_family() -> None:
    quiet = table(1, 5, sd=0.01)
    accuracies = {**table(3, 5, key=7), "none": quiet["none"], "a1": shifted(quiet["a1"], 5)}
    first, *others = judge(accuracies, "none")
    assert (first.verdict, first.look, first.p) == (
        "better",
        3,
        pytest.approx(3 * first_p(accuracies, "a1")),
    )
    small, large = sorted(found.paired_p for found in others)
    adjusted = sorted(found.p for found in others)
    assert adjusted == pytest.approx([2 * small, max(2 * small, large)])


def first_p(accuracies: Table, arm: str) -> float:
    pairs = [(accuracies[arm][seed], accuracies["none"][seed]) for seed in range(3)]
    return float(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue)


def test_too_few_seeds_say_nothing() -> None:
    two, one, no = (
        judge(
            {**table(1, num_seeds), "other": {0: 90.0, 77: 91.0}}
            if num_seeds
            else {**table(2, 3), "a1": {50: 91.0}},
            "none",
        )[0]
        for num_seeds in (2, 1, 0)
    )
    assert {found.verdict for found in (two, one, no)} == {"silent"}
    assert {found.p for found in (two, one, no)} == {None}
    assert two.words == "no verdict at 2 seeds: the first look is at 3"
    assert two.low < two.difference < two.high
    assert "one seed" in one.words
    assert one.low is None
    assert "no seed is shared" in no.words
    assert no.difference is None


@pytest.mark.parametrize("by", [0.0, 0.5])
def test_runs_without_noise_are_undecided(by: float) -> None:
    accuracies = table(2, 5)
    accuracies["a1"] = shifted(accuracies["none"], by)
    copy, other = judge(accuracies, "none")
    assert copy.verdict == "undecided"
    assert "the same at every seed" in copy.words
    assert (copy.p, copy.low) == (None, None)
    assert other.p is not None
    [alone] = judge({arm: accuracies[arm] for arm in ("none", "a1")}, "none")
    assert (alone.verdict, alone.residual_sd, alone.pooled_p) == ("undecided", None, None)


@pytest.mark.parametrize(
    ("accuracies", "options", "message"),
    [
        ({"none": {0: 91.0}, "a": {0: nan}}, {}, r"percent.*'a' has nan at seed 0; leave"),
        ({"none": {0: inf}, "a": {0: 91.0}}, {}, r"percent.*'none' has inf at seed 0; leave"),
        ({"none": {0: 91.0}, "a": {1: 91.0}}, {}, r"none shares a seed with 'none'.*train"),
        ({"b": {0: 91.0}, "a": {0: 91.0}}, {}, r"got 'none'; there are: b, a"),
        ({"none": {0: 91.0}}, {"margin": 0.0}, r"margin is points.*got 0.0; try 0.3"),
        ({"none": {0: 91.0}}, {"margin": nan}, r"margin is points.*got nan; try 0.3"),
        ({"none": {0: 91.0}}, {"margin": inf}, r"margin is points.*got inf; try 0.3"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(
    accuracies: Table, options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        judge(accuracies, "none", **options)
    assert "\n" not in str(refused.value)


def test_a_look_takes_the_first_seeds_in_the_order_given_whatever_their_numbers() -> None:
    names = [200, 3, 100, 17, 64, 1, 33]
    accuracies = {
        arm: {names[seed]: y for seed, y in runs.items()} for arm, runs in table(1, 7).items()
    }
    differences = [accuracies["a1"][seed] - accuracies["none"][seed] for seed in names[:5]]
    [found] = judge(accuracies, "none")
    assert found.look == 5
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_only_the_control_is_an_empty_table() -> None:
    assert judge({"none": {0: 91.0}}, "none") == []


@pytest.mark.parametrize(("num_arms", "num_seeds"), [(1, 3), (1, 5), (4, 8), (8, 20)])
def test_detectable_difference_has_the_power_it_says(num_arms: int, num_seeds: int) -> None:
    size = detectable_in_sd(LOOKS[num_seeds] / num_arms, num_seeds)
    df = num_seeds - 1
    threshold = stats.t.isf(LOOKS[num_seeds] / num_arms / 2, df)
    root = optimize.brentq(lambda nc: stats.nct.sf(threshold, df, nc) - 0.8, 0, 200)
    assert size == pytest.approx(root * sqrt(2 / num_seeds), rel=1e-5)
    generator = np.random.default_rng(0)
    differences = generator.normal(size, sqrt(2), (4000, num_seeds))
    p = stats.ttest_1samp(differences, 0, axis=1, alternative="greater").pvalue
    assert np.mean(p <= LOOKS[num_seeds] / num_arms / 2) == pytest.approx(0.8, abs=0.025)


def test_seeds_to_settle() -> None:
    rule = unplanned(["a1"])
    assert rule.detectable_in_sd("a1", 2) == inf
    assert rule.detectable_in_sd("a1", 9) == detectable_in_sd(LOOKS[8], 8)
    at_12 = 0.2 * rule.detectable_in_sd("a1", 12)
    assert rule.seeds_to_settle("a1", at_12 * 1.01, 0.2, 5) == 7
    assert rule.seeds_to_settle("a1", at_12 * 0.99, 0.2, 5) == 15
    assert rule.seeds_to_settle("a1", at_12 * 1.01, 0.2, 12) == 8
    assert rule.seeds_to_settle("a1", 0.01, 0.2, 5) is None
    noisy = judge(table(1, 5, sd=2.0), "none")[0].words
    assert noisy.startswith("undecided: more than 15 more seeds would settle")
    calm = judge(table(1, 7, sd=0.1, key=3), "none", margin=0.25)[0].words
    assert calm == "undecided: about 1 more seed would settle a difference of 0.25 points"
    crowded = judge(table(8, 5, sd=0.17, key=4), "none", margin=0.35)[0]
    among_8 = unplanned(list(table(8, 1))[1:])
    alone, eight = (r.seeds_to_settle("a1", 0.35, crowded.residual_sd, 5) for r in (rule, among_8))
    assert alone < eight
    assert f"about {eight} more seeds" in crowded.words
    last = judge(table(1, 20, sd=2.0), "none")[0].words
    assert last == "undecided at 20 seeds, the last planned look"


def test_no_difference_of_percentages_is_beyond_100_points() -> None:
    """Two seeds: t is 12.7. The p-value is of the whole interval, as before."""
    [found] = judge({"none": {0: 10.0, 1: 50.0}, "a": {0: 50.0, 1: 40.0}}, "none")
    paired = stats.ttest_rel([50.0, 40.0], [10.0, 50.0])
    low, high = paired.confidence_interval()
    assert (low < -100, high > 100) == (True, True)
    assert (found.low, found.high) == (-100.0, 100.0)
    assert found.paired_p == pytest.approx(paired.pvalue)


def test_arm_interval() -> None:
    values = [90.1, 90.7, 91.2, 90.4]
    mean, sd, low, high = arm_interval(values)
    truth = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (mean, sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (low, high) == pytest.approx(truth)
    assert arm_interval([90.0]) == (90.0, None, None, None)
    assert arm_interval([90.0, 90.0]) == (90.0, 0.0, 90.0, 90.0)
    assert arm_interval([99.0, 99.9])[3] == 100.0  # the t-interval goes to 105.2
    assert arm_interval([0.1, 1.0])[2] == 0.0
    for bad in ([], [90.0, nan]):
        with pytest.raises(InputError, match="leave out"):
            arm_interval(bad)


def test_no_effect_is_seldom_a_verdict_and_an_unadjusted_rule_fails_the_same_check() -> None:
    num_tables, wrong, wrong_unadjusted, covered = 200, 0, 0, []
    for key in range(num_tables):
        whole = table(4, 12, key=1000 + key)
        found = [
            difference
            for look in (3, 5, 8, 12)
            for difference in judge(
                {a: {s: r[s] for s in range(look)} for a, r in whole.items()}, "none"
            )
        ]
        wrong += any(one.verdict in ("better", "worse") for one in found)
        wrong_unadjusted += any(one.paired_p < 0.05 for one in found)
        covered += [one.low <= 0 <= one.high for one in found]

    def exceeds(count: int) -> bool:
        return stats.binomtest(count, num_tables, 0.05, alternative="greater").pvalue < 0.001

    assert not exceeds(wrong)
    assert exceeds(wrong_unadjusted)
    assert 0.93 < np.mean(covered) < 0.97


def correctness(num_seeds: int, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    chance = generator.beta(3, 1, num_images)
    arm, control = generator.random((2, num_seeds, num_images)) < chance
    return arm, control


def test_bootstrap_is_the_direct_loop() -> None:
    arm, control = correctness(4, 150)
    weights = image_weights(150, num_samples=4000, seed=1)
    assert set(weights.sum(1)) == {150.0}
    fast = bootstrap_over_images_and_seeds(arm, control, weights=weights, seed=1)
    generator = np.random.default_rng(9)
    samples = []
    for _ in range(4000):
        seeds, images = generator.integers(4, size=4), generator.integers(150, size=150)
        drawn = np.ix_(seeds, images)
        samples.append(100 * (arm[drawn].mean() - control[drawn].mean()))
    assert fast == pytest.approx(np.quantile(samples, [0.025, 0.975]), abs=0.4)  # points of +-5
    other = bootstrap_over_images_and_seeds(arm, control, weights=weights, seed=2)
    assert other != fast
    drawn_inside = bootstrap_over_images_and_seeds(arm, control, num_samples=4000, seed=1)
    assert drawn_inside == fast


@pytest.mark.parametrize("num_images", [1, 7, 359, 70_000])
def test_samples_are_the_same_however_many_are_drawn_at_a_time(num_images: int) -> None:
    generator = np.random.default_rng([3, 0])
    found = image_weights(num_images, num_samples=400 if num_images < 1000 else 3, seed=3)
    for row in found:
        drawn = generator.integers(num_images, size=num_images)
        assert np.array_equal(row, np.bincount(drawn, minlength=num_images))


def test_bootstrap_of_one_seed_is_the_binomial_of_the_images() -> None:
    arm, control = correctness(1, 2000)
    difference = 100.0 * (arm[0].astype(int) - control[0])
    half = 1.96 * difference.std() / sqrt(2000)
    low, high = bootstrap_over_images_and_seeds(arm, control)
    expected = (difference.mean() - half, difference.mean() + half)
    assert (low, high) == pytest.approx(expected, abs=0.12 * half)
    assert bootstrap_over_images_and_seeds(arm, arm) == (0.0, 0.0)
    with pytest.raises(InputError, match=r"got \(1, 2000\) and \(1, 1999\); compare runs of one"):
        bootstrap_over_images_and_seeds(arm, control[:, 1:])
