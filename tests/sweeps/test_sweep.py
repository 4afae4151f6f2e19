"""Tables of arms: what is run, in which order, what is left out and said so."""

import json
from pathlib import Path
from statistics import stdev

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from support import CONF, TINY, Senet, arms

from senet_train.compare.statistics.looks import detectable_in_sd
from senet_train.config.compose import combinations
from senet_train.config.typed_words import key_of
from senet_train.errors import InputError
from senet_train.sweeps.arms import Table, refuse_conflicts

BASE = ["hydra/launcher=basic", *(word for word in TINY if not word.startswith("ratio"))]
EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))
TABLES = [
    name for name in EXPERIMENTS if "\narms:" in (CONF / f"experiment/{name}.yaml").read_text()
]
DEEP = {"resnets", "cifar", "siblings"}


PLAIN, SE = ["attention=none"], ["attention=se", "ratio=4"]


def trained(base: Path) -> list[str]:
    """Label and seed of every finished run, in the order in which they finished."""
    results = list(base.glob("outputs/*/*/seed*/result.json"))
    records = [json.loads(file.read_text()) for file in results]
    order = sorted(
        zip((file.stat().st_mtime_ns for file in results), records, strict=True),
        key=lambda pair: pair[0],
    )
    return [f"{record['label']} {record['seed']}" for _, record in order]


def test_combinations() -> None:
    overrides = OverridesParser.create().parse_overrides(["a=1,2", "b=3", "c=x,y", "~d", "e=[1,2]"])
    assert list(combinations(overrides)) == [
        [f"a={a}", "b=3", f"c={c}", "~d", "e=[1,2]"] for a in (1, 2) for c in ("x", "y")
    ]


def test_keys_of_settings() -> None:
    assert [key_of(s) for s in ("a.b=1", "+a=1", "~a", "++a=1", "g/h@a.h=x")] == [
        "a.b",
        "a",
        "a",
        "a",
        "g/h",
    ]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (["ratio=4"], "ratio=4 is set by the table's arm attention=se ratio=2"),
        (["attention=eca"], "attention=eca is set by the table's arm attention=none"),
        (["seed=3"], r"seed=3 and the table's seeds=5 both choose seeds: write seeds=\[3\]"),
        (["seed=3", "seeds=4"], "seeds=4 and seed=3 both choose seeds"),
    ],
)
def test_both_would_lose_one(base: list[str], message: str) -> None:
    table = Table(arms=[["attention=none"], ["attention=se", "ratio=2"]], seeds=5)
    refuse_conflicts(["model=resnet8", "optim.lr=0.2"], table)
    with pytest.raises(InputError, match=message):
        refuse_conflicts(base, table)


def test_seeds_are_a_count_or_a_list() -> None:
    assert Table(arms=[], seeds=3).seed_list() == [0, 1, 2]
    assert Table(arms=[], seeds=[7, 2, 7]).seed_list() == [7, 2]
    assert Table(arms=[], seeds=3, first_seed=1000).seed_list() == [1000, 1001, 1002]
    assert Table(arms=[], seeds=[7, 2], first_seed=1000).seed_list() == [7, 2]
    with pytest.raises(InputError, match=r"below 2\^32: first_seed=4294967295 and"):
        Table(arms=[], seeds=2, first_seed=2**32 - 1).seed_list()


@pytest.mark.usefixtures("bench")
def test_a_table_needs_no_m_and_goes_seed_by_seed(senet: Senet, tmp_path: Path) -> None:
    result = senet(*BASE, arms(PLAIN, SE), "seeds=2")
    assert result.code == 0, result.err
    expected = ["resnet8 0", "se_resnet8-r4 0", "resnet8 1", "se_resnet8-r4 1"]
    assert trained(tmp_path) == expected
    assert "finished 4 of 4 runs" in result.out
    again = senet(*BASE, arms(PLAIN, SE), "seeds=2")
    assert again.err.count("found finished") == 4


@pytest.mark.usefixtures("bench")
def test_what_cannot_exist_is_skipped_and_twins_run_once(senet: Senet, tmp_path: Path) -> None:
    ratios = arms(*(["attention=se", f"ratio={ratio}"] for ratio in (32, 9, 16)))
    result = senet(*BASE, ratios, "placement.stages=[1]", "placement.position=inner")
    assert result.code == 0, result.err
    assert "skipped: attention=se ratio=32: ratio=32 leaves no hidden channel" in result.err
    assert "attention=se ratio=16 is the same network as " in result.err
    assert trained(tmp_path) == ["se_resnet8-r9-inner-stages_1 0"]


def test_nothing_left_is_bad_input(senet: Senet, tmp_path: Path) -> None:
    result = senet(*BASE, arms(["attention=se", "ratio=32"]))
    assert result.code == 2
    assert result.err.startswith("error: ratio=32 leaves no hidden channel for a layer of 16")
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seeds=0"], "seeds=0: must be greater than or equal to 1"),
        (["seeds=[]"], "at least 1 item"),
        (["seeds=abc"], "seeds=abc: must be a valid integer"),
        (["seeds=2", "seed=1"], "seeds=2 and seed=1 both choose seeds"),
        (["first_seed=7"], "first_seed=7 changes nothing with seeds=[0]: leave it out, or give"),
        (["first_seed=-1", "seeds=2"], "first_seed=-1: must be greater than or equal to 0"),
        (["first_seed=7", "seeds=auto"], "first_seed=7 changes nothing with seeds=auto"),
        ([arms([*PLAIN, "first_seed=7"])], "sets first_seed, which holds for the whole table"),
        ([arms("attention=none")], "arms.0=attention=none: must be a valid array"),
        ([arms(["attention=nono"])], "attention=nono is none of the options"),
        ([arms(["atention=none"])], "atention"),
        ([arms(PLAIN), "attention=se"], "is set by the table's arm"),
        (["seeds=2", "optim.lr=-1"], "error: optim.lr=-1: must be greater than 0"),
        (["seeds=5000000000"], "seeds=5000000000: must be less than or equal to 10000"),
        ([arms(PLAIN, ["attention=se", "attention.gate=tanhh"])], "attention.gate=tanhh: must be"),
        ([arms(PLAIN, [*PLAIN, "optim.lr=-1"])], "optim.lr=-1: must be greater than 0"),
        ([arms(["attention=se", "attention=none"])], "sets attention twice: leave one of them out"),
        ([arms([*PLAIN, "seed=7"])], "sets seed, which holds for the whole table"),
        (
            [arms(SE, PLAIN), "attention.gate=tanh"],
            "attention.gate is set, and the table's arm attention=none has no such key",
        ),
        ([arms(PLAIN, SE), "hydra.mode=RUN"], "which only hydra/sweeper=arms trains"),
    ],
)
def test_bad_tables_write_nothing(
    senet: Senet, tmp_path: Path, words: list[str], message: str
) -> None:
    result = senet(*[word for word in BASE if not word.startswith("attention")], *words)
    assert result.code == 2
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[arms(PLAIN, SE)], ["seeds=3"]])
def test_another_sweeper_does_not_drop_arms(senet: Senet, words: list[str], tmp_path: Path) -> None:
    result = senet(*BASE, *words, "hydra/sweeper=basic")
    assert result.code == 2
    assert "which only hydra/sweeper=arms trains" in result.err
    assert trained(tmp_path) == []


@pytest.mark.usefixtures("bench")
def test_one_seed_of_a_sweep_is_still_of_a_sweep(senet: Senet, tmp_path: Path) -> None:
    """What nothing reads is refused in a single run and only mentioned in a sweep of any size."""
    plain = [word for word in BASE if not word.startswith("model")]
    result = senet(*plain, "model=resnet8", "ratio=4", "seeds=[2]")
    assert result.code == 0, result.err
    assert "notice: ratio=4 changes nothing" in result.err
    assert trained(tmp_path) == ["resnet8 2"]


def test_seeds_that_overlap_count_once(senet: Senet) -> None:
    assert "left to train: 3 of 3 runs" in senet("-m", *BASE, "seeds=2,3", "dry_run=true").out


@pytest.mark.usefixtures("bench")
def test_two_output_folders_are_two_runs(senet: Senet, tmp_path: Path) -> None:
    assert senet("-m", *BASE, f"output_dir={tmp_path}/a,{tmp_path}/b").code == 0
    assert len(list(tmp_path.glob("[ab]/*/*/seed0/result.json"))) == 2


def test_a_forecast_is_for_what_will_be_compared(senet: Senet) -> None:
    result = senet("experiment=se_lr", "model=resnet8", "data=fake", "ratio=4", "dry_run=true")
    assert "Holm over 3 arms)" in result.out
    assert result.out.count("5 seeds show differences") == 1


def test_a_failed_run_stops_no_other(senet: Senet, tmp_path: Path) -> None:
    result = senet(*BASE, arms(["attention=none", "optim.lr=1e20"], PLAIN))
    assert result.code == 1
    assert trained(tmp_path) == ["resnet8 0"]
    assert "error: 1 of 2 runs did not finish: resnet8-" in result.err


@pytest.mark.usefixtures("bench")
def test_a_dry_run_tells_what_is_left(senet: Senet, tmp_path: Path) -> None:
    words = [*BASE, "optim.lr=0.02", arms(PLAIN, SE)]
    before = senet(*words, "seeds=3", "dry_run=true")
    assert before.code == 0
    assert "left to train: 6 of 6 runs" in before.out
    assert "hours: unknown" in before.out
    assert list(tmp_path.iterdir()) == []
    senet(*words, "seeds=2")
    after = senet(*words, "seeds=3", "dry_run=true")
    assert "left to train: 2 of 6 runs" in after.out
    assert "one run after the other" in after.out
    assert "points by the runs finished so far" in after.out
    assert "no verdict at 2 seeds" in senet(*words, "seeds=2", "dry_run=true").out


@pytest.mark.usefixtures("bench")
def test_a_noise_study_ends_with_what_its_runs_say(senet: Senet, tmp_path: Path) -> None:
    result = senet("experiment=noise", *BASE, "seeds=3")
    assert result.code == 0, result.err
    assert trained(tmp_path) == ["resnet8 1000", "resnet8 1001", "resnet8 1002"]
    assert "(3 seeds; 90 % interval " in " ".join(result.out.split())
    assert "What would a table take?" in result.out
    [arm] = tmp_path.glob("outputs/fake/*")
    assert f"noise: senet-compare outputs/fake/{arm.name}\n" in result.out
    assert not list(tmp_path.rglob("plans"))  # there is nothing to be judged


@pytest.mark.usefixtures("bench")
def test_no_noise_is_told_of_tables_with_arms_of_single_runs_and_of_attention(senet: Senet) -> None:
    for words in ([arms(PLAIN, SE), "seeds=2"], [arms(PLAIN)], [arms(SE), "seeds=2"]):
        result = senet(*BASE, *words)
        assert "the noise of" not in result.out
        assert "verdict: senet-compare outputs/fake\n" in result.out, result.err


@pytest.mark.usefixtures("bench")
def test_a_dry_run_knows_the_noise_of_a_control_at_other_seeds(
    senet: Senet, tmp_path: Path
) -> None:
    """The sd of the control's runs times what so many seeds show; its arms have no runs yet."""
    table = [*BASE, arms(SE, PLAIN), "seeds=5", "dry_run=true"]  # the control need not be first
    assert " points by" not in senet(*table).out
    senet(*BASE, arms(PLAIN), "seeds=4", "first_seed=50", "optim.lr=0.02")  # another recipe
    assert " points by" not in senet(*table).out
    senet(*BASE, arms(PLAIN), "seeds=4", "first_seed=50")
    [line] = [line for line in senet(*table).out.splitlines() if " points by" in line]
    files = [
        f for f in tmp_path.glob("outputs/*/*/seed5?/result.json") if "lr=0.02" not in f.read_text()
    ]
    scores = [json.loads(file.read_text())["metrics"]["test_top1"] for file in files]
    size = 100 * stdev(scores) * detectable_in_sd(0.04, 5)
    assert f"{size:.2f} points by 4 runs of resnet8" in line
    out = senet(*table).out
    assert "left to train: 10 of 10 runs" in out  # none of them is a run of the table
    assert "one run after the other" in out
    for place in tmp_path.glob("outputs/*/*/seed51"):
        (place / "result.json").write_text("{")
    damaged = senet(*table)
    assert damaged.err.count("warning: ") == 1
    assert " points by 3 runs of resnet8" in damaged.out


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_headers_say_why_and_at_what_cost(name: str) -> None:
    text = (CONF / f"experiment/{name}.yaml").read_text()
    if name != "none":
        for word in ("# Question: ", "# Run:  ", "# Cost: "):
            assert word in text, word
        assert "# Paper: " in text or "# Expect: " in text
        assert f"experiment={name}" in text


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in DEEP else n for n in TABLES],
)
def test_every_table_can_be_planned(senet: Senet, tmp_path: Path, name: str) -> None:
    """On a network where all its arms exist, all of them are planned; nothing is written."""
    content = yaml.safe_load((CONF / f"experiment/{name}.yaml").read_text())
    data = [] if name.startswith("shapes") else ["data=fake"]
    result = senet(f"experiment={name}", *data, "dry_run=true")
    assert result.code == 0, result.err
    num_runs = len(content["arms"]) * content["seeds"]
    assert f"left to train: {num_runs} of {num_runs} runs" in result.out, result.err
    assert ["attention=none"] in [arm[-1:] for arm in content["arms"]] or name == "se_lr"
    assert list(tmp_path.iterdir()) == []


def test_a_table_on_another_network_skips_what_it_lacks(senet: Senet) -> None:
    result = senet("experiment=se_stages", "model=resnet8", "data=fake", "dry_run=true")
    assert result.code == 0
    assert "skipped: attention=se placement.stages=[4]: " in result.err
    assert "left to train: 30 of 30 runs" in result.out
