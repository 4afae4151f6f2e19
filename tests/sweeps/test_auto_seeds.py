"""`seeds=auto`: who goes on, who stays, and that senet-compare says the same afterwards."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from compare_runs import Table, table
from support import CONF, TINY, Result, Senet, arms
from sweeps.planned_training import Bench, stand_in

from senet_train.commands.compare import judge_runs, parse
from senet_train.compare import MARGIN
from senet_train.compare.statistics.looks import LOOKS, Rule
from senet_train.compare.statistics.next_step import Step, next_step
from senet_train.compare.statistics.verdict import judge

BASE = [word for word in TINY if not word.startswith(("ratio", "model"))]
BASE += ["model=resnet8", "hydra/launcher=basic"]  # training is replaced in this process alone
PLAIN, R2, R4 = ["attention=none"], ["attention=se", "ratio=2"], ["attention=se", "ratio=4"]
ECA, STATIC = ["attention=eca"], ["attention=static"]

# Points above the control, and the sd of their noise: settled at 3 seeds, at 5, at neither.
PLANNED = {
    "resnet8": (0.0, 0.0),
    "se_resnet8-r4": (5.0, 0.05),
    "se_resnet8-r2": (1.0, 0.15),
    "static_resnet8": (0.3, 0.25),
    "eca_resnet8": (2.0, 0.1),
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    fake = Bench(PLANNED)
    stand_in(monkeypatch, fake)
    return fake


def looks(result: Result) -> list[str]:
    """The line after each look, the folders' hashes left out."""
    lines = [line for line in result.err.splitlines() if line.startswith("look at ")]
    return [re.sub(r"-[0-9a-f]{8}", "", line) for line in lines]


def verdicts(out: str) -> dict[str, str]:
    """Arm -> words, of the sweep's own summary, without its estimates."""
    lines = re.findall(r"^  (\S+), \d+ seeds: (.+)$", out, re.MULTILINE)
    return {arm: re.sub(r", \S+ points \(shrunken \S+\)$", "", words) for arm, words in lines}


def compared(line: str) -> dict[str, str]:
    """Arm -> words, of the command that the sweep names."""
    command, *words = shlex.split(line)
    assert command == "senet-compare"
    comparison, _ = judge_runs(parse(words))
    arms = [arm for block in comparison.blocks for arm in block.arms]
    return {arm.folder: arm.difference.words for arm in arms if arm.difference}


def test_only_open_arms_go_on_and_senet_compare_says_the_same(senet: Senet, bench: Bench) -> None:
    result = senet(*BASE, arms(PLAIN, R4, R2, STATIC), "seeds=auto", "max_seeds=6")
    assert result.code == 0, result.err
    expected = {"resnet8": 5, "se_resnet8-r4": 3, "se_resnet8-r2": 5, "static_resnet8": 5}
    assert bench.seeds() == expected
    assert bench.made[:4] == [f"{arm} 0" for arm in expected]
    first, second = looks(result)
    assert first == (
        "look at 3 seeds: se_resnet8-r4 is better; to 5 seeds: se_resnet8-r2, static_resnet8"
    )
    assert second.startswith("look at 5 seeds: se_resnet8-r2 is better; static_resnet8 stays ")
    assert second.endswith("declared seeds) (max_seeds=5); nothing goes on")
    assert "finished 18 of 18 runs" in result.out
    said = verdicts(result.out)
    assert len(said) == 3
    [line] = re.findall(r"^all of it: (.+)$", result.out, re.MULTILINE)
    assert compared(line) == said


def test_the_same_line_goes_on_where_it_was_stopped(senet: Senet, bench: Bench) -> None:
    words = [*BASE, arms(PLAIN, R2), "seeds=auto"]
    bench.stop_before = 7  # in the round from 3 to 5 seeds
    assert senet(*words).code == 143
    bench.stop_before = 10_000
    again = senet(*words)
    assert again.code == 0, again.err
    assert len(set(bench.made)) == len(bench.made) == 10
    assert looks(again) == [
        "look at 3 seeds: to 5 seeds: se_resnet8-r2",
        "look at 5 seeds: se_resnet8-r2 is better; nothing goes on",
    ]


def test_an_arm_that_fails_is_not_settled_and_stops_no_other(senet: Senet, bench: Bench) -> None:
    bench.diverges = {"eca_resnet8 1"}
    result = senet(*BASE, arms(PLAIN, ECA, R4), "seeds=auto")
    assert result.code == 1
    assert looks(result) == [
        "look at 3 seeds: eca_resnet8 stays unsettled without seed 1 of eca_resnet8; "
        "se_resnet8-r4 is better; nothing goes on"
    ]
    assert len(bench.made) == 9
    assert "1 of 9 runs did not finish: eca_resnet8" in result.err


def test_a_control_that_fails_ends_the_table(senet: Senet, bench: Bench) -> None:
    bench.diverges = {"resnet8 0", "resnet8 1", "resnet8 2"}
    result = senet(*BASE, arms(PLAIN, R4), "seeds=auto")
    assert result.code == 1
    assert looks(result) == [
        "look at 3 seeds: se_resnet8-r4 stays unsettled without seeds 0, 1, 2 of resnet8; "
        "nothing goes on"
    ]
    assert "verdicts:" not in result.out
    assert "3 of 6 runs did not finish" in result.err


def test_without_a_plain_arm_the_first_is_the_control(senet: Senet, bench: Bench) -> None:
    result = senet(*BASE, arms(R2, R4), "seeds=auto")
    assert result.code == 0, result.err
    assert looks(result) == ["look at 3 seeds: se_resnet8-r4 is better; nothing goes on"]
    [line] = re.findall(r"^all of it: (.+)$", result.out, re.MULTILINE)
    assert "--baseline se_resnet8-r2-" in line
    assert compared(line) == verdicts(result.out)


def test_a_dry_run_forecasts_the_first_look(senet: Senet, tmp_path: Path) -> None:
    result = senet(*BASE, arms(PLAIN, R4), "seeds=auto", "dry_run=true")
    assert result.code == 0
    assert "left to train: 6 of 6 runs" in result.out
    assert "arms whose verdict is then open go on to 5, 8, 12, 20 seeds" in result.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seeds=auto"], "compared with nothing: name two arms or more"),
        (
            [arms(PLAIN, R4, [*R4, "optim.lr=0.2"]), "seeds=auto"],
            "compared with nothing: name two arms or more, one of them attention=none and equal",
        ),
        ([arms(PLAIN, R4), "seeds=auto", "max_seeds=2"], "max_seeds=2 reaches no look"),
        ([arms(PLAIN, R4), "seeds=auto", "max_seeds=x"], "max_seeds=x: must be a valid integer"),
        ([arms(PLAIN, R4), "seeds=5", "max_seeds=8"], "max_seeds=8 changes nothing with seeds=5"),
        ([arms(PLAIN, R4), "seeds=auto", "seed=1"], "seeds=auto and seed=1 both choose seeds"),
        ([arms(PLAIN, R4), "seeds=automatic"], "seeds=automatic: must be a valid integer"),
        (["-m", arms(PLAIN, R4), "seeds=auto,3"], "seeds=auto holds for a whole sweep"),
        (
            ["-m", arms(PLAIN, R4), "seeds=auto", "output_dir=a,b"],
            "seeds=auto compares the runs of one output_dir: got a, b",
        ),
        ([arms(PLAIN, [*R4, "max_seeds=8"])], "sets max_seeds, which holds for the whole table"),
    ],
)
def test_what_cannot_grow_is_refused(
    senet: Senet, tmp_path: Path, words: list[str], message: str
) -> None:
    result = senet(*words, *BASE)
    assert result.code == 2
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_step_after_each_verdict() -> None:
    quiet, noisy = table(1, 5, sd=0.1), table(1, 5, sd=2.0, key=2)

    def step(accuracies: Table, num_seeds: int, max_seeds: int = max(LOOKS)) -> Step:
        first = {arm: dict(list(runs.items())[:num_seeds]) for arm, runs in accuracies.items()}
        looks = {look: error for look, error in LOOKS.items() if look <= max_seeds}
        return next_step(judge(first, "none")[0], Rule(looks, {"a1": 1.0}), MARGIN)

    better = {"none": quiet["none"], "a1": {s: y + 5 + s / 100 for s, y in quiet["none"].items()}}
    copied = {"none": quiet["none"], "a1": quiet["none"]}
    assert step(better, 3) == Step("settled")
    assert step(quiet, 3) == Step("open", 5)
    assert step(quiet, 5, max_seeds=5) == step(quiet, 5, max_seeds=7) == Step("spent")
    assert step(noisy, 5) == Step("hopeless")
    assert step(copied, 3) == Step("open", 5)  # equal so far: nothing tells the noise


def test_what_is_stopped_has_the_verdict_of_the_whole_table() -> None:
    """Simulated tables in which arms leave as they are settled, against all arms at 20 seeds."""
    num_left = 0
    for key in range(25):
        whole = table(3, max(LOOKS), key=key, sd=0.15)
        for arm, by in (("a1", 0.6), ("a2", 0.25)):
            whole[arm] = {seed: accuracy + by for seed, accuracy in whole[arm].items()}
        last = {found.arm: found.verdict for found in judge(whole, "none")}
        going, said = {"a1", "a2", "a3"}, dict.fromkeys(last, "undecided")
        seeds = dict.fromkeys(whole, 0)
        for look in LOOKS:
            seeds |= dict.fromkeys(["none", *going], look)
            now = {arm: {s: runs[s] for s in range(seeds[arm])} for arm, runs in whole.items()}
            said = {found.arm: found.verdict for found in judge(now, "none")}
            going = {arm for arm in going if said[arm] in ("undecided", "withheld")}
            num_left += 3 - len(going)
        assert said == last
    assert num_left > 50


def test_the_numbers_in_conf_are_those_of_the_rule() -> None:
    numbers = yaml.safe_load((CONF / "config.yaml").read_text())
    assert numbers["max_seeds"] == max(LOOKS)
    assert numbers["margin"] == MARGIN
