"""senet-compare --score: verdicts by another score of the same runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from compare_runs import compared, write_run

MACRO = ("test_macro_f1", "test_balanced_accuracy", "test_auroc", "val_macro_f1")


def with_metrics(run: Path, **changes: Any) -> None:
    file = run / "result.json"
    record = json.loads(file.read_text())
    record["metrics"].update(changes)
    file.write_text(json.dumps(record))


def two_arms(base: Path, *, judged_by: str = "top1", by_macro: float = 0.1) -> None:
    """Top-1 is equal in both arms; macro-F1 of the second is higher by `by_macro`."""
    score = {"trainer.score": judged_by} if judged_by != "top1" else {}
    for arm, better in (("none", 0.0), ("a1", by_macro)):
        for seed in range(5):
            changes = {"attention.name": arm, **score}
            run = write_run(base, arm, seed, 0.9, changes=changes)
            value = 0.6 + better + 0.001 * seed * (1 + (arm == "a1") / 5)
            macro = dict.fromkeys((*MACRO, "val_macro_f1_last"), value)
            with_metrics(run, macro=macro, judged_by=judged_by)
            rows = f"epoch,val_top1,val_macro_f1,val_score\n0,0.5,0.4,0.4\n1,0.9,{value},{value}\n"
            (run / "metrics.csv").write_text(rows)


def test_verdicts_are_by_the_score_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_arms(tmp_path / "runs")
    code, by_top1, _ = compared(capsys, str(tmp_path / "runs"))
    assert (code, "test top-1" in by_top1, "better" in by_top1) == (0, True, False)
    report = tmp_path / "report"
    code, printed, errors = compared(
        capsys, str(tmp_path / "runs"), "--score", "test_macro_f1", "--out", str(report)
    )
    assert (code, errors) == (0, "")
    assert "Points of test macro-F1 above none" in printed
    assert "a1 is better" in printed or "a1 beat" in printed
    page = (report / "index.html").read_text()
    assert "test macro-F1" in page
    assert "test top-1" not in page
    assert "at the epoch of the highest validation top-1, and" in page
    assert "verdicts by several scores share no error" in page
    assert "verdicts by several scores" not in by_top1  # and not where it was not chosen
    methods = (report / "methods.md").read_text()
    assert "test macro-F1 of the epoch with the highest validation top-1" in methods
    assert "no interval on new images: macro-F1 is no sum over images" in page


def test_a_score_without_validation_has_no_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_arms(tmp_path / "runs")
    arguments = ("--score", "test_auroc", "--out", str(tmp_path / "report"))
    code, printed, _ = compared(
        capsys, str(tmp_path / "runs"), *arguments, "--tensorboard", str(tmp_path / "board")
    )
    assert code == 0
    assert "test AUROC" in printed
    assert "val AUROC" not in printed


def test_runs_chosen_by_another_score_are_judged_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_arms(tmp_path, judged_by="macro_f1")
    code, printed, _ = compared(capsys, str(tmp_path))
    assert code == 0
    assert "Points of test macro-F1 above none" in printed
    assert "best epoch by macro_f1" in printed


def test_two_scores_are_no_one_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_arms(tmp_path, judged_by="macro_f1")
    for seed in range(2):
        write_run(tmp_path, "a2", seed, 0.9, changes={"attention.name": "a2"})
    for extra in ((), ("--allow", "trainer.score")):
        _, printed, errors = compared(capsys, str(tmp_path), *extra)
        assert errors == ""
        told = printed.partition("Verdicts")[2].partition("Left out")
        assert "a2" not in told[0]
        assert "a2-00000000" in "".join(told[2].split())  # a long path is of several lines
    code, _, errors = compared(capsys, str(tmp_path), "--allow", "score")
    assert (code, errors.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "score", ["test_macro_f1", "test_average_precision", "accuracy", "val_top1"]
)
def test_a_run_that_lacks_the_score_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], score: str
) -> None:
    run = write_run(tmp_path, "none", 0, 0.9)
    write_run(tmp_path, "a1", 0, 0.9, changes={"attention.name": "a1"})
    code, printed, errors = compared(capsys, str(tmp_path), "--score", score)
    assert (code, printed, errors.count("\n")) == (2, "", 1)
    assert f"--score {score}" in errors
    assert str(run.parent.parent) in errors
    assert "it has test_top1: choose" in errors


@pytest.mark.parametrize(
    "changes",
    [
        {"judged_by": "macro_f1"},
        {"judged_by": "best"},
        {"macro": {"test_macro_f1": 1.5}},
        {"macro": {"test_macro_f1": "much"}},
        {"per_class": {"cat": {"recall": []}}},
    ],
)
def test_a_damaged_record_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    with_metrics(write_run(tmp_path, "none", 0, 0.9), **changes)
    code, _, errors = compared(capsys, str(tmp_path))
    assert (code, errors.count("\n")) == (2, 1)
    assert "result.json" in errors


def test_a_table_has_one_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("arm,seed,score\nnone,0,90\na,0,91\n")
    code, _, errors = compared(capsys, str(tmp_path / "t.csv"), "--score", "test_top1")
    assert (code, errors.count("\n")) == (2, 1)


def test_stopped_runs_and_budgets_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arm in ("none", "a1"):
        for seed in range(2):
            changes = {"attention.name": arm, "trainer.max_minutes": 5.0}
            run = write_run(tmp_path, arm, seed, 0.9, changes=changes)
            if arm == "a1":
                file = run / "result.json"
                record = json.loads(file.read_text())
                record["ended"] = {"epochs": 3 + seed, "rule": "max_minutes"}
                file.write_text(json.dumps(record))
    code, printed, _ = compared(capsys, str(tmp_path))
    words = " ".join(printed.split())
    assert code == 0
    assert "trainer.max_minutes stopped 2 of 4 runs, after 3 to 4 epochs" in words
    assert "trainer.max_minutes is a budget of time" in words
    assert "at most 5.0 minutes" in words
