"""The plan of a table: written before its first run, found again, extended, never changed."""

import json
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.power import TTestPower
from support import TINY, Senet, arms

pytestmark = pytest.mark.usefixtures("bench")  # what is asked here is asked of plans

BASE = ["hydra/launcher=basic", *(word for word in TINY if not word.startswith("ratio"))]
PLAIN, SE, ECA = ["attention=none"], ["attention=se", "ratio=4"], ["attention=eca"]


def plans(base: Path) -> list[dict[str, Any]]:
    """The plans of the data set, the earliest first."""
    files = (base / "outputs/fake/plans").glob("*.json")
    found = [json.loads(file.read_text()) for file in files]
    return sorted(found, key=lambda plan: (plan["declared"], len(plan["declaration"]["seeds"])))


def records(base: Path) -> dict[tuple[str, int], str]:
    """Label and seed of every finished run -> the name of the plan that counts it."""
    read = [json.loads(f.read_text()) for f in (base / "outputs").rglob("result.json")]
    return {(one["label"], one["seed"]): one["plan"]["name"] for one in read}


def test_a_table_writes_its_plan_and_extends_it(senet: Senet, tmp_path: Path) -> None:
    table = [*BASE, arms(PLAIN, SE)]
    dry = senet(*table, "seeds=3", "dry_run=true")
    assert (dry.code, list(tmp_path.iterdir())) == (0, [])
    first = senet(*table, "seeds=3")
    assert first.code == 0, first.err
    [plan] = plans(tmp_path)
    declared = plan["declaration"]
    assert [one["settings"][-2:] for one in declared["arms"]] == [SE]
    assert declared["arms"][0]["control"].startswith("resnet8-")
    assert (declared["seeds"], declared["kept"], declared["margin"]) == ([0, 1, 2], 0.01, 0.3)
    assert declared["looks"] == [{"seeds": 3, "error": 0.04}]
    assert "1 arm, tested at 3 seeds (error 0.04), 0.01 kept for more seeds" in first.err
    assert "\ndata: about " in first.err
    promise = "3 seeds show differences of 5.2 residual standard deviations"
    assert promise in dry.out
    assert f"\n{promise}" in first.err
    assert "; for differences of 2, declare 7 seeds" in first.err
    assert len(set(records(tmp_path).values())) == 1
    again = senet(*table, "seeds=3")
    assert (again.code, plans(tmp_path)) == (0, [plan])
    assert promise not in again.err

    longer = senet(*table, "seeds=[4,1,3]")
    assert longer.code == 0, longer.err
    extension = plans(tmp_path)[1]["declaration"]
    assert extension["seeds"] == [0, 1, 2, 4, 3]
    assert extension["looks"] == [{"seeds": 5, "error": 0.005}]
    assert extension["kept"] == 0.005
    names = records(tmp_path)
    assert extension["parent"] == names["resnet8", 0] != names["resnet8", 4]
    assert names["resnet8", 1] == names["resnet8", 0]
    assert len(plans(tmp_path)) == 2


def test_what_had_finished_before_is_said_not_to_count(senet: Senet, tmp_path: Path) -> None:
    single = senet(*BASE, "attention=none", "seed=1")
    assert single.code == 0, single.err
    assert plans(tmp_path) == []
    result = senet(*BASE, arms(PLAIN, SE), "seeds=3")
    words = "notice: 1 run of it had finished before, and do not count"
    assert words in result.out + result.err
    assert "seeds=[3,...] are free" in result.out + result.err
    assert records(tmp_path)["resnet8", 1] == ""
    assert records(tmp_path)["se_resnet8-r4", 1] == records(tmp_path)["resnet8", 0] != ""


def test_fewer_seeds_than_a_verdict_takes_spend_nothing(senet: Senet, tmp_path: Path) -> None:
    table = [*BASE, arms(PLAIN, SE)]
    assert senet(*table, "seeds=1").code == 0
    assert senet(*table, "seeds=3").code == 0
    trial, later = (plan["declaration"] for plan in plans(tmp_path))
    assert (trial["looks"], trial["kept"]) == ([], 0.05)
    assert (later["looks"], later["kept"]) == ([{"seeds": 3, "error": 0.025}], 0.025)
    assert set(records(tmp_path).values()) != {""}


def test_one_arm_alone_has_no_plan(senet: Senet, tmp_path: Path) -> None:
    assert senet(*BASE, "attention=none", "seeds=2").code == 0
    assert plans(tmp_path) == []
    assert set(records(tmp_path).values()) == {""}


def test_a_dry_run_says_what_the_primary_arm_shows(senet: Senet) -> None:
    """Half of the error is its own; statsmodels solves for the difference, of paired runs."""
    table = [*BASE, arms(PLAIN, SE, ECA, ["attention=static"]), "seeds=5", "reserve=0"]
    said = senet(*table, "primary='attention=se ratio=4'", "dry_run=true").out
    primary, others = (
        sqrt(2) * TTestPower().solve_power(nobs=5, alpha=0.05 * weight, power=0.8)
        for weight in (1 / 2, 1 / 4)
    )
    words = f"differences of {others:.1f} residual standard deviations (power 0.8, Holm over 3 arms"
    assert f"{words}; the primary arm's of {primary:.1f})" in said
    assert f"{primary:.1f}); for differences of 2, declare {seeds_for_two(0.05 / 4)} seeds" in said
    assert "primary" not in senet(*table, "dry_run=true").out


def seeds_for_two(alpha: float) -> int:
    """The fewest seeds with power 0.8, by statsmodels; pairs differ by sqrt(2) residual sd."""
    power = TTestPower()
    return next(n for n in range(3, 99) if power.power(sqrt(2), n, alpha) >= 0.8)


@pytest.mark.parametrize("seeds", [3, 7])
def test_few_seeds_are_told_how_many_more_it_takes(senet: Senet, seeds: int) -> None:
    said = senet(*BASE, arms(PLAIN, SE), f"seeds={seeds}", "dry_run=true").out
    assert seeds_for_two(0.04) == 7
    assert ("; for differences of 2, declare 7 seeds" in said) == (seeds == 3)


def test_the_primary_arm_and_the_reserve_are_in_the_plan(senet: Senet, tmp_path: Path) -> None:
    table = [*BASE, arms(PLAIN, SE, ECA), "seeds=1", "primary='attention=se ratio=4'", "margin=0.5"]
    result = senet(*table)
    assert result.code == 0, result.err
    [plan] = plans(tmp_path)
    assert plan["declaration"]["primary"].startswith("se_resnet8-r4-")
    assert plan["declaration"]["margin"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["primary='attention=se ratio=2'"], "no arm with a control has these settings"),
        (["primary='attention=none'"], "no arm with a control has these settings"),
        (["primary='data=fake'"], "several arms have these settings"),
        (["primary=[]"], "primary"),
        (["reserve=1"], "reserve"),
        (["reserve=-0.1"], "reserve"),
        (["margin=0"], "margin"),
        (["margin=nan"], "margin"),
        (["reserve=0.1,0.2"], "reserve holds for a whole sweep, got 0.1, 0.2"),
    ],
)
def test_bad_declarations_are_refused_before_anything_is_written(
    senet: Senet, tmp_path: Path, words: list[str], message: str
) -> None:
    result = senet(*BASE, arms(PLAIN, SE, ECA), "seeds=3", *words)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_changed_plan_stops_the_table(senet: Senet, tmp_path: Path) -> None:
    table = [*BASE, arms(PLAIN, SE)]
    assert senet(*table, "seeds=1").code == 0
    [path] = (tmp_path / "outputs/fake/plans").iterdir()
    path.write_text(path.read_text().replace('"kept": 0.05', '"kept": 0.04'))
    result = senet(*table, "seeds=2")
    assert result.code == 2
    assert "was changed after it was written" in result.err


def test_seeds_auto_declares_the_looks_of_a_growing_study(senet: Senet, tmp_path: Path) -> None:
    result = senet(*BASE, arms(PLAIN, SE), "seeds=auto", "max_seeds=4")
    assert result.code == 0, result.err
    [plan] = plans(tmp_path)
    assert plan["declaration"]["seeds"] == [0, 1, 2]
    assert plan["declaration"]["looks"] == [{"seeds": 3, "error": 0.04}]
