"""Noise studies: the sd of one run, what a table takes then, and what the commands say of it."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_runs import NUM_IMAGES, compared, write_run
from scipy import stats

from senet_train.compare.render.noise import duration
from senet_train.compare.statistics.difference import with_dispersion
from senet_train.compare.statistics.dispersion import Dispersion
from senet_train.compare.statistics.looks import detectable_in_sd
from senet_train.compare.statistics.noise import NUMBERS_OF_ARMS, SIZES, needs, noise_of
from senet_train.compare.statistics.verdict import judge
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


SE = {"attention.name": "se", "attention.ratio": 4}
Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Compare:
    """senet-compare on tmp_path/runs: exit code, output in long lines, errors."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> tuple[int, str, str]:
        return compared(capsys, str(tmp_path / "runs"), *arguments)

    return run


def write_control(base: Path, key: int, num_seeds: int = 6, *, run_sd: float = 0.0) -> list[float]:
    """Runs of a plain network, as `write_answers` has them."""
    return write_answers(base, "resnet20", key, num_seeds, run_sd=run_sd)


def write_answers(
    base: Path,
    label: str,
    key: int,
    num_seeds: int = 6,
    *,
    run_sd: float = 0.0,
    changes: dict[str, Any] | None = None,
) -> list[float]:
    """Runs whose images are independent, but for what a run adds to all; their scores."""
    generator = np.random.default_rng(key)
    scores = []
    for seed in range(num_seeds):
        rates = np.linspace(0.5, 0.9, NUM_IMAGES) + generator.normal(0, run_sd)
        right = generator.random(NUM_IMAGES) < rates
        path = write_run(base, label, seed, float(right.mean()), changes=changes)
        np.savez(path / "correct.npz", bits=np.packbits(right), num_images=NUM_IMAGES)
        scores.append(100 * float(right.mean()))
    return scores


def test_a_control_alone_tells_its_noise(compare: Compare, tmp_path: Path) -> None:
    scores = write_control(tmp_path / "runs", 1)
    code, out, err = compare()
    assert (code, err) == (0, "")
    sd = np.std(scores, ddof=1)
    assert "fake, resnet20: the noise of resnet20" in out
    assert f"One run has a standard deviation of {sd:.2f} points of test top-1 (6 seeds;" in out
    assert f"the difference of two arms at a seed has one of {sd * sqrt(2):.2f}, if" in out
    assert "which is not surely more." in out
    assert "The test set is coarse: one of its 400 images is 0.25 points." in out
    need = next(need for need in needs(sd) if (need.size, need.num_arms) == (1.0, 4))
    assert need.runs == 5 * need.seeds
    assert f"{need.seeds} ({need.runs:,}, {duration(10 * need.runs)})" in out  # 10 s a run
    rows = [line.split()[0] for line in out.splitlines() if line[:1].isdigit()]
    assert rows == ["0.1*", "0.2*", "0.3", "0.5", "1", "2"]


def test_runs_that_move_as_a_whole_are_told_to_train_longer(
    compare: Compare, tmp_path: Path
) -> None:
    write_control(tmp_path / "runs", 1, run_sd=0.08)
    out = compare()[1]
    assert "The variance over seeds is " in out
    assert " times what they explain (90 % interval " in out
    assert "): train longer, or average more seeds." in out


def test_an_undecided_arm_is_told_to_train_longer_where_runs_move_as_a_whole(
    compare: Compare, tmp_path: Path
) -> None:
    write_answers(tmp_path / "runs", "resnet20", 1, run_sd=0.04)
    write_answers(tmp_path / "runs", "se_resnet20-r4", 2, run_sd=0.04, changes=SE)
    compare("--out", str(tmp_path / "out"))
    [block] = json.loads((tmp_path / "out/comparison.json").read_text())["blocks"]
    found = block["arms"][1]["difference"]
    assert found["verdict"] == "undecided"
    many = f"{found['dispersion']['ratio']:.0f} times what independent images explain"
    line = f"the variance over seeds is {many}: train longer, or average more seeds"
    assert found["advice"] == [line]
    assert f"{found['words']}; {line}" in compare()[1]
    [_, row] = csv.DictReader((tmp_path / "out/comparison.csv").read_text().splitlines())
    assert float(row["variance_by_images"]) == found["dispersion"]["ratio"]


def test_an_undecided_arm_of_independent_images_is_not(compare: Compare, tmp_path: Path) -> None:
    """They are the negative control; so is an arm with a verdict, however its runs scatter."""
    write_answers(tmp_path / "runs", "resnet20", 1)
    write_answers(tmp_path / "runs", "se_resnet20-r4", 2, changes=SE)
    out = compare()[1]
    assert "undecided" in out
    assert "the variance over seeds" not in out
    worse = -np.arange(1.0, 7.0)
    [found] = judge(
        {"none": dict.fromkeys(range(6), 90.0), "a": dict(enumerate(90 + worse))}, "none"
    )
    large = Dispersion(9.0, 4.0, 40.0, 1e-6, 0.2)
    for verdict, lines in (("worse", 0), ("undecided", 1), ("withheld", 0), ("silent", 0)):
        told = with_dispersion(replace(found, verdict=verdict), large)
        assert (len(told.advice), told.dispersion) == (lines, large)
    small = replace(large, ratio=0.8, p=0.5)
    asked = replace(found, verdict="undecided", advice=("it would take about 61 seeds",))
    assert with_dispersion(asked, small).advice[1:] == (
        "the variance over seeds is 0.8 times what independent images explain: more test images "
        "help, as more seeds do",
    )
    assert with_dispersion(replace(asked, advice=()), small).advice == ()
    assert with_dispersion(replace(asked, verdict="withheld"), small).advice == asked.advice
    assert with_dispersion(replace(found, verdict="undecided"), None).advice == ()


def test_noise_beside_a_comparison_is_asked_for(compare: Compare, tmp_path: Path) -> None:
    write_control(tmp_path / "runs", 1)
    for seed in range(6):
        write_run(tmp_path / "runs", "se_resnet20-r4", seed, 0.7 + seed / 100, changes=SE)
    code, out, _ = compare()
    assert (code, "the noise of" in out) == (0, False)
    code, out, _ = compare("--noise")
    assert code == 0
    assert out.index("Does se_resnet20-r4 beat resnet20?") < out.index("the noise of resnet20")
    assert "the noise of se_resnet20-r4" in compare("--noise", "--baseline", "se_resnet20-r4")[1]


@pytest.mark.parametrize(
    ("num_seeds", "arguments", "message"),
    [
        (1, [], "there is only the baseline attention=none: train an arm"),
        (1, ["--noise"], "there is only the baseline attention=none: train an arm"),
        (4, ["--out", "OUT"], "there is only the baseline attention=none: --out needs an arm"),
        (4, ["--plan"], "--plan needs an arm that is compared with it, leave --plan out"),
    ],
)
def test_what_a_control_alone_cannot_tell_is_refused(
    compare: Compare, tmp_path: Path, num_seeds: int, arguments: list[str], message: str
) -> None:
    write_control(tmp_path / "runs", 1, num_seeds)
    words = [str(tmp_path / "out") if word == "OUT" else word for word in arguments]
    code, out, err = compare(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_noise_takes_two_runs_of_a_control(compare: Compare, tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "resnet20", 0, 0.7)
    for seed in range(3):
        write_run(tmp_path / "runs", "se", seed, 0.7, changes=SE)
    code, out, err = compare("--noise")
    assert (code, out) == (2, "")
    assert "no control here has two runs or more" in err


def test_unfinished_runs_are_listed(compare: Compare, tmp_path: Path) -> None:
    write_control(tmp_path / "runs", 1)
    write_run(tmp_path / "runs", "resnet20", 9, 0.7, state="diverged")
    out = compare()[1]
    assert "Left out" in out
    assert "seed9: diverged" in out
    assert "(6 seeds;" in out


def test_durations() -> None:
    assert [duration(s) for s in (43, 99, 1020, 4680, 36_000, 432_000)] == [
        "43 s",
        "99 s",
        "17 min",
        "78 min",
        "10 h",
        "120 h",
    ]
