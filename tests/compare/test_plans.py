"""Verdicts by a plan: its looks, errors, weights and order of seeds, and what it does not count."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from compare_runs import write_run
from scipy import stats
from statsmodels.stats.multitest import multipletests

from senet_train.commands.compare import main
from senet_train.compare.assemble import assemble
from senet_train.compare.collect import collect
from senet_train.compare.comparison import Block
from senet_train.compare.render.basis import in_a_line
from senet_train.compare.statistics.difference import Difference
from senet_train.compare.statistics.looks import (
    errors_of_looks,
    is_skewed_against,
    weighted_holm,
    weights_of,
)
from senet_train.errors import InputError
from senet_train.runs.study_plan import (
    Declaration,
    Look,
    PlannedArm,
    StudyPlan,
    chains_in,
    plan_that_counts,
    write_plan,
)

SE = {"attention.name": "se", "attention.ratio": 4}
ECA = {"attention.name": "eca"}
GE = {"attention.name": "ge"}
CHANGES = {"resnet20": {}, "se": SE, "eca": ECA, "ge": GE}
CONTROL = [70.0, 71.25, 69.0, 72.0, 70.0, 70.5, 71.0, 69.5]
# Points above the control: paired p of 0.021 at the first 5 seeds.
ABOVE = [1.0, 0.75, 0.75, 1.75, 0.25, 1.0, 1.25, 0.75]
NONE = [1.0, -1.0, 0.5, -0.5, 0.25, -0.25, 0.5, -0.75]


def folder(arm: str) -> str:
    return f"{arm}-00000000"


def declared(
    base: Path,
    arms: Sequence[str] = ("se",),
    *,
    seeds: Iterable[int] = range(5),
    looks: dict[int, float] | None = None,
    kept: float = 0.01,
    primary: str = "",
    parent: str = "",
    time: str = "2026-01-01T00:00:00+00:00",
) -> StudyPlan:
    """A plan for these arms against resnet20, written beside their runs."""
    seeds = list(seeds)
    declaration = Declaration(
        arms=[PlannedArm(folder(arm), folder("resnet20"), [f"attention={arm}"]) for arm in arms],
        primary=folder(primary) if primary else "",
        seeds=seeds,
        looks=[Look(n, error) for n, error in (looks or {len(seeds): 0.04}).items()],
        kept=kept,
        margin=0.3,
        parent=parent,
    )
    plan = StudyPlan(1, declaration, time, "c0de")
    write_plan(base / "fake", plan)
    return plan


def train(
    base: Path,
    arm: str,
    above: Sequence[float],
    plan: StudyPlan | None,
    *,
    seeds: Iterable[int] = range(5),
    day: int = 2,
    **changes: object,
) -> None:
    """Runs of an arm so many points above the control's at each of its seeds."""
    for seed in seeds:
        top1 = (CONTROL[seed] + above[seed]) / 100
        config = {**CHANGES[arm], **changes}
        write_run(base, arm, seed, top1, changes=config, plan=plan, day=day)


def blocks(base: Path, **options: object) -> list[Block]:
    runs, left_out = collect([base])
    given = {"baseline": "attention=none", "allowed": [], "margin": None, "with_curves": False}
    return assemble(runs, left_out, **(given | options)).blocks


def found(base: Path, arm: str = "se") -> Difference:
    return next(
        one.difference
        for block in blocks(base)
        for one in block.arms
        if one.label == arm and one.difference
    )


def p_of(above: Sequence[float], num_seeds: int = 5) -> float:
    return float(stats.ttest_1samp(above[:num_seeds], 0).pvalue)


LITTLE = [1.0, 0.5, -0.25, 1.25, 0.25, 1.0, 1.25, 0.0]  # paired p of 0.019
ZERO = [0.0] * 8


def test_a_declared_table_spends_its_error_at_its_seeds(tmp_path: Path) -> None:
    plan = declared(tmp_path / "plan")
    for base, by in ((tmp_path / "plan", plan), (tmp_path / "none", None)):
        train(base, "resnet20", ZERO, by)
        train(base, "se", ABOVE, by)
    assert 0.015 < p_of(ABOVE) < 0.04
    with_plan, without = found(tmp_path / "plan"), found(tmp_path / "none")
    assert with_plan.p == pytest.approx(p_of(ABOVE)) == without.p
    assert (with_plan.verdict, with_plan.error, with_plan.declared) == ("better", 0.04, 5)
    assert (without.verdict, without.error, without.declared) == ("undecided", 0.015, 0)


def test_the_page_names_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = declared(tmp_path)
    for arm, above in (("resnet20", ZERO), ("se", NONE)):
        train(tmp_path, arm, above, plan)
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "undecided (5 of 5 declared seeds)" in words
    assert f"plan {plan.declaration.name}, declared {plan.declared} before its first run" in words
    for page in ("comparison.md", "methods.md", "index.html"):
        assert plan.reference.sha256 in (tmp_path / "out" / page).read_text()


def test_an_extension_spends_what_was_kept_and_takes_no_verdict_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = ("se", "eca", "ge")
    first = declared(tmp_path, arms)
    later = declared(
        tmp_path, arms, seeds=range(8), looks={8: 0.005}, kept=0.005, parent=first.declaration.name
    )
    settled = [4.0, 4.1, 4.2, 4.0, 4.1, -30.0, -30.0, -30.0]
    late = [1.0, 1.25, 0.75, 1.0, -0.5, 1.0, 1.25, 1.0]
    train(tmp_path, "resnet20", ZERO, first)
    train(tmp_path, "resnet20", ZERO, later, seeds=(5, 6, 7))
    for arm, above in zip(arms, (settled, late, NONE), strict=True):
        train(tmp_path, arm, above, first)
    assert [found(tmp_path, arm).words for arm in arms] == [
        "better",
        *["undecided (5 of 8 declared seeds)"] * 2,
    ]
    for arm, above in zip(arms, (settled, late, NONE), strict=True):
        train(tmp_path, arm, above, later, seeds=(5, 6, 7))
    one, two, three = (found(tmp_path, arm) for arm in arms)
    assert (one.verdict, one.look) == ("better", 5)
    assert (two.look, two.error) == (8, 0.005)
    assert two.p == pytest.approx(2 * p_of(late, 8))  # se has left the family
    assert two.verdict == ("better" if two.p <= 0.005 else "undecided")
    assert three.words == "undecided (8 of 8 declared seeds)"
    assert main([str(tmp_path)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    first_line = f"declared {first.declared} before its first run, extended by"
    assert f"{first_line} {later.declaration.name}: 3 arms" in words
    assert f"sha256 {first.reference.sha256}, {later.reference.sha256}" in words


def test_a_run_that_is_missing_leaves_its_arm_open_and_no_other(tmp_path: Path) -> None:
    plan = declared(tmp_path, ("se", "eca"))
    train(tmp_path, "resnet20", ZERO, plan)
    train(tmp_path, "se", [4.0, 4.1, 4.2, 4.0, 4.1], plan)
    train(tmp_path, "eca", [4.0, 4.1, 4.2, 4.0, 4.1], plan, seeds=(0, 1, 3, 4))
    assert found(tmp_path, "se").verdict == "better"
    assert found(tmp_path, "eca").words == "undecided (2 of 5 declared seeds)"
    assert found(tmp_path, "se").p == pytest.approx(2 * found(tmp_path, "se").paired_p)


@pytest.mark.parametrize("lost", ["diverged", "failed"])
@pytest.mark.parametrize("loser", ["se", "resnet20"])
@pytest.mark.parametrize("planned", [True, False])
def test_a_mean_without_lost_runs_is_never_called_better(
    tmp_path: Path, lost: str, loser: str, planned: bool
) -> None:
    """The arm's where the arm is above, the control's where the control is."""
    plan = declared(tmp_path, seeds=range(6)) if planned else None
    by = 1 if loser == "se" else -1
    for arm, above in (("resnet20", ZERO), ("se", [by * a for a in (4.0, 4.1, 4.2, 4.0, 4.1, 4)])):
        seeds = [0, 1, 2, 3, 4] if arm == loser else range(6)
        train(tmp_path, arm, above, plan, seeds=seeds)
    assert found(tmp_path).verdict == ("undecided" if planned else ("better", "worse")[by < 0])
    write_run(tmp_path, loser, 5, 0.0, changes=CHANGES[loser], state=lost)
    said = found(tmp_path)
    assert said.verdict == ("undecided" if planned else "withheld")
    assert f"{loser}: seed 5 {lost}" in said.words


@pytest.mark.parametrize("planned", [True, False])
def test_a_seed_added_below_reopens_no_look(tmp_path: Path, planned: bool) -> None:
    seeds = (1, 2, 3, 4, 5)
    plan = declared(tmp_path, seeds=seeds) if planned else None
    train(tmp_path, "resnet20", ZERO, plan, seeds=seeds)
    train(tmp_path, "se", [0, 4.0, 4.1, 4.2, 4.0, 4.1], plan, seeds=seeds)
    before = found(tmp_path)
    assert before.verdict == "better"
    train(tmp_path, "resnet20", ZERO, None, seeds=(0,), day=3)
    train(tmp_path, "se", [-30.0], None, seeds=(0,), day=3)
    after = found(tmp_path)
    assert (after.verdict, after.p, after.look) == (before.verdict, before.p, before.look)
    assert after.difference < 0 < before.difference  # all seeds are shown


def test_the_order_of_the_plan_counts_and_not_that_of_numbers(tmp_path: Path) -> None:
    order = [7, 0, 6, 1, 5, 2, 4, 3]
    looks = {3: 0.001, 5: 0.04}
    plan = declared(tmp_path, seeds=order, looks=looks)
    train(tmp_path, "resnet20", ZERO, plan, seeds=range(8))
    train(tmp_path, "se", ABOVE, plan, seeds=range(8))
    first = [ABOVE[seed] for seed in order[:5]]
    assert found(tmp_path).p == pytest.approx(p_of(first))
    assert p_of(first) != pytest.approx(p_of(ABOVE))


def test_blocks_of_one_plan_share_its_error(tmp_path: Path) -> None:
    """The same runs in two blocks: alone each would be better."""

    def study(base: Path, arms: dict[str, str]) -> list[str]:
        declaration = Declaration(
            [PlannedArm(folder(arm), folder(control), []) for arm, control in arms.items()],
            "",
            [0, 1, 2, 3, 4],
            [Look(5, 0.04)],
            0.01,
            0.3,
            "",
        )
        plan = StudyPlan(1, declaration, "2026-01-01T00:00:00+00:00", "c0de")
        write_plan(base / "fake", plan)
        for number, (arm, control) in enumerate(arms.items()):
            for name, above, attention in ((control, ZERO, {}), (arm, ABOVE, SE)):
                for seed in range(5):
                    top1 = (CONTROL[seed] + above[seed]) / 100
                    changes = {**attention, "model.name": f"net{number}"}
                    write_run(base, name, seed, top1, changes=changes, plan=plan)
        return [one.difference.verdict for b in blocks(base) for one in b.arms if one.difference]

    assert study(tmp_path / "one", {"se": "resnet20"}) == ["better"]
    assert study(tmp_path / "two", {"se": "resnet20", "se2": "plain2"}) == ["undecided"] * 2


def test_the_primary_arm_has_half_of_the_error(tmp_path: Path) -> None:
    verdicts = {}
    for primary in ("", "se"):
        base = tmp_path / f"primary{primary}"
        plan = declared(base, ("se", "eca", "ge"), primary=primary, looks={8: 0.04}, seeds=range(8))
        train(base, "resnet20", ZERO, plan, seeds=range(8))
        for arm in ("se", "eca", "ge"):
            train(base, arm, LITTLE if arm == "se" else NONE, plan, seeds=range(8))
        verdicts[primary] = found(base).verdict
    assert 0.04 / 3 < p_of(LITTLE, 8) < 0.04 / 2
    assert verdicts == {"": "undecided", "se": "better"}


@pytest.mark.parametrize("planned_late", ["resnet20", "se"])
def test_runs_of_before_the_plan_do_not_count(tmp_path: Path, planned_late: str) -> None:
    plan = declared(tmp_path)
    for arm, above in (("resnet20", ZERO), ("se", ABOVE)):
        early = (0,) if arm == planned_late else ()
        train(tmp_path, arm, above, None, seeds=early, day=1)
        train(tmp_path, arm, above, plan, seeds=[seed for seed in range(5) if seed not in early])
    [block] = blocks(tmp_path)
    assert block.arms[1].difference.declared == 0
    assert block.arms[1].difference.verdict == "undecided"
    assert any(f"{planned_late} seed 0 was not made under the plan" in n for n in block.notes)
    assert [in_a_line(basis, block) for basis in block.judged_by] == [
        "no plan: tested at 3, 5, 8, 12, 20 seeds, with an error of 0.05 for the block in all"
    ]


def test_a_run_counts_for_the_first_plan_that_named_it(tmp_path: Path) -> None:
    first = declared(tmp_path)
    second = declared(tmp_path, ("eca",), time="2026-01-01T00:00:01+00:00")
    assert plan_that_counts(tmp_path / "fake", [folder("resnet20")], 4) == first.reference
    assert plan_that_counts(tmp_path / "fake", [folder("eca")], 4) == second.reference
    assert plan_that_counts(tmp_path / "fake", [folder("eca")], 5).name == ""
    train(tmp_path, "resnet20", ZERO, first)
    train(tmp_path, "se", ABOVE, first)
    train(tmp_path, "eca", ABOVE, second)
    [block] = blocks(tmp_path)
    judged = {one.label: one.difference for one in block.arms if one.difference}
    assert (judged["se"].declared, judged["eca"].declared) == (5, 0)
    assert any(
        f"counts for the plan {first.declaration.name} and not for {second.declaration.name}"
        in note
        for note in block.notes
    )
    assert len(block.judged_by) == 2


def change_looks(path: Path) -> None:
    path.write_text(path.read_text().replace("0.04", "0.05"))


def change_time(path: Path) -> None:
    path.write_text(path.read_text().replace("2026-01-01", "2025-01-01"))


def change_to_words(path: Path) -> None:
    path.write_text('{"schema": 1, "declaration": "none"}')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_looks, "was changed after it was written"),
        (change_time, "was changed after"),
        (change_to_words, "is no plan (declaration"),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    words: str,
) -> None:
    plan = declared(tmp_path)
    train(tmp_path, "resnet20", ZERO, plan)
    train(tmp_path, "se", ABOVE, plan)
    [path] = (tmp_path / "fake/plans").iterdir()
    laid_out = path.read_text()
    path.write_text(json.dumps(json.loads(laid_out), indent=1))
    assert main([str(tmp_path)]) == 0  # its layout says nothing
    change(path)
    capsys.readouterr()
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_extension_without_its_parent_is_refused(tmp_path: Path) -> None:
    declared(tmp_path, parent="12345678")
    with pytest.raises(InputError, match=r"lacks 12345678\.json, which \w{8}\.json extends"):
        chains_in(tmp_path / "fake")


def test_a_margin_that_the_plan_does_not_have_is_refused(tmp_path: Path) -> None:
    plan = declared(tmp_path)
    train(tmp_path, "resnet20", ZERO, plan)
    train(tmp_path, "se", ABOVE, plan)
    assert blocks(tmp_path, margin=0.3)
    with pytest.raises(InputError, match=r"--margin 0.5: the plan \w{8} declares 0.3"):
        blocks(tmp_path, margin=0.5)


def test_weighted_holm_is_that_of_statsmodels_at_equal_weights_and_of_copies_at_others() -> None:
    generator = np.random.default_rng(0)
    for draw in range(50):
        p = dict(zip("abcde", generator.random(5) ** 3, strict=True))
        equal = weighted_holm(p, dict.fromkeys(p, 0.2))
        assert equal == pytest.approx(by_definition(p, dict.fromkeys(p, 0.2)))
        if draw < 3:  # it collects garbage at each call: half a second
            _, truth, _, _ = multipletests(list(p.values()), method="holm")
            assert list(equal.values()) == pytest.approx(truth)
        given = dict(zip("abcde", (0.5, *[0.125] * 4), strict=True))
        assert weighted_holm(p, given) == pytest.approx(by_definition(p, given))


def by_definition(p: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    """The smallest error at which the closed test rejects an arm: over all sets that hold it."""
    arms = list(p)
    adjusted = dict.fromkeys(arms, 0.0)
    for number in range(1, 2 ** len(arms)):
        family = [arm for place, arm in enumerate(arms) if number >> place & 1]
        whole = sum(weights[arm] for arm in family)
        least = min(min(1.0, p[arm] * whole / weights[arm]) for arm in family)
        for arm in family:
            adjusted[arm] = max(adjusted[arm], least)
    return adjusted


def test_weights_and_errors_of_looks_sum_to_the_whole() -> None:
    assert weights_of(["a", "b", "c"], "b") == {"a": 0.25, "b": 0.5, "c": 0.25}
    assert weights_of(["a"], "a") == {"a": 1.0}
    errors = errors_of_looks([3, 5, 8, 12, 20], 0.05)
    assert sum(errors.values()) == pytest.approx(0.05)
    assert errors[3] == pytest.approx(0.05 * (3 / 20) ** 2)
    assert sum(errors[look] for look in (3, 5, 8)) == pytest.approx(0.05 * (8 / 20) ** 2)
    assert errors_of_looks([5], 0.04) == {5: 0.04}
    assert errors_of_looks([], 0.04) == {}


def test_a_long_tail_against_the_mean_withholds_the_verdict(tmp_path: Path) -> None:
    above = [2.0, 2.25, 2.0, 2.25, 2.0, 2.25, 2.0, -0.5]
    for name, values, verdict in (
        ("lost", above, "withheld"),
        ("gained", [a if a > 0 else 5.0 for a in above], "better"),  # the tail is on its side
    ):
        base = tmp_path / name
        plan = declared(base, seeds=range(8))
        train(base, "resnet20", ZERO, plan, seeds=range(8))
        train(base, "se", values, plan, seeds=range(8))
        assert p_of(values, 8) < 0.04
        assert found(base).verdict == verdict
    assert not is_skewed_against(np.array(above[-7:]), 1.0)  # no test sees it in 7
