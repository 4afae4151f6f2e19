"""checklist.md and methods.md: what records say, by hand; the rest is left to the writer."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from compare_runs import write_run

from senet_train.commands.compare import main
from senet_train.runs.study_plan import Declaration, Look, PlannedArm, StudyPlan, write_plan

pytestmark = pytest.mark.usefixtures("unrendered")  # tests/compare/test_pictures.py is of pictures

SE, ECA = {"attention.name": "se", "attention.ratio": 4}, {"attention.name": "eca"}
MISSING = "**not recorded: you must answer this**"
GPU = {"device": "H200", "cpu": "EPYC", "threads": 16}


def change(run: Path, **changes: Any) -> None:
    """Change keys of a record, wherever they stand; `cost` and `environment` by their own keys."""
    record = json.loads((run / "result.json").read_text())
    for key, value in changes.items():
        nodes = [record, record["cost"], record["environment"]]
        next(node for node in nodes if key in node)[key] = value
    (run / "result.json").write_text(json.dumps(record))


def write_arms(base: Path, num_seeds: int = 3, **more: Any) -> list[Path]:
    """A plain net and SE; their folders."""
    return [
        write_run(
            base, label, seed, 0.7 + (seed + bool(changes)) ** 2 % 7 / 100, changes=changes, **more
        )
        for label, changes in (("resnet20", {}), ("se", SE))
        for seed in range(num_seeds)
    ]


def sections(page: str) -> dict[str, list[str]]:
    """Heading -> its lines."""
    parts = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    lines = [[line for line in part.splitlines() if line.startswith("- ")] for part in parts[2::2]]
    return dict(zip(parts[1::2], lines, strict=True))


def checked(base: Path, *arguments: str) -> dict[str, list[str]]:
    """The checklist that `senet-compare base --out out` writes."""
    out = base.parent / "out"
    assert main([str(base), "--out", str(out), *arguments]) == 0
    return sections((out / "checklist.md").read_text())


def methods(base: Path) -> list[str]:
    """The paragraphs of methods.md, after `checked`."""
    return (base.parent / "out" / "methods.md").read_text().split("\n\n")


def test_hours_are_those_of_the_records(tmp_path: Path) -> None:
    """3 runs of 1, 2 and 3 hours on a GPU, 3 of 90 seconds on a processor."""
    runs = write_arms(tmp_path / "runs")
    for hours, run in enumerate(runs[:3], start=1):
        change(run, seconds=3600.0 * hours, peak_memory_bytes=(10 + hours) << 20, **GPU)
    for run in runs[3:]:
        change(run, seconds=90.0, concurrent_runs=1)
    gpu, cpu, total, *rest = checked(tmp_path / "runs")["Compute resources"]
    assert gpu == (
        "- H200, processor EPYC, 16 threads: 3 runs of 1 to 3 hours each (training and test), 6 "
        "hours together; at most 13 MiB of memory."
    )
    assert cpu.startswith("- cpu, 1 thread: 3 runs of 0.025 hours each (training and test, while")
    assert "0.075 hours together" in cpu
    assert total.startswith("- In all: 6 runs, 6.08 hours, ")  # 6 + 3 * 90 / 3600 = 6.075
    assert [line for line in rest if MISSING not in line] == []


def test_hours_of_blocks_add_up(tmp_path: Path) -> None:
    for number, rate in enumerate((0.1, 0.2)):
        for label, changes in (("resnet20", {}), ("se", SE)):
            for seed in range(2):
                lr = {**changes, "optim.lr": rate}
                run = write_run(
                    tmp_path / "runs", label, seed, 0.7, changes=lr, folder=f"{label}-{number}"
                )
                change(run, seconds=18_000.0 * (1 + number))
    *_, total, _ = checked(tmp_path / "runs")["Compute resources"]
    assert total.startswith("- In all: 8 runs, 60 hours, ")  # 4 * 5 + 4 * 10


def test_every_value_of_code_data_and_settings_is_there(tmp_path: Path) -> None:
    hashes = ["a" * 64, "b" * 64]
    for number, run in enumerate(write_arms(tmp_path / "runs")):
        change(run, code=hashes[number % 2], git=f"commit{number % 2}", data_fingerprint="d" * 64)
    found = checked(tmp_path / "runs", "--allow", "code")
    made = " ".join(found["Reproducing it: code, data, seeds"])
    for words in (f"sha256 {hashes[0]}, {hashes[1]}", "commit0, commit1", "Seeds: 0 to 2."):
        assert words in made
    assert f"fake, fingerprint {'d' * 64}" in made
    assert "torch 2.15.0" in made
    [_, same, *_] = found["Experimental setting and details"]
    for words in ("optim.lr=0.1", "trainer.max_epochs=2", "data.batch_size=16"):
        assert words in same
    assert "allowed to differ in code" in " ".join(found["Limitations"])
    assert "epoch with the highest validation top-1" in " ".join(
        found["Experimental setting and details"]
    )


def test_verdicts_error_bars_and_n_are_those_of_the_comparison(tmp_path: Path) -> None:
    write_arms(tmp_path / "runs", 5)
    write_run(tmp_path / "runs", "se", 9, 0, changes=SE, state="diverged")
    found = checked(tmp_path / "runs")
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text())
    difference = comparison["blocks"][0]["arms"][1]["difference"]
    [_, arm, *_] = found["Claims"]
    assert f"se: {difference['difference']:+.2f} points of test top-1" in arm
    assert f"{difference['low']:+.2f} to {difference['high']:+.2f}, n = 5 seeds" in arm
    assert difference["words"] in arm
    said = " ".join(found["Statistical significance"])
    for words in ("sample standard deviation", "95 % t-intervals", "A seed draws", "n = 5 seeds"):
        assert words in said
    assert "near normal" in said
    assert "1 run left out" in " ".join(found["Limitations"])
    verdicts = difference["verdict"] in ("better", "worse", "equivalent")
    assert f"{int(verdicts)} of 1 arm " in " ".join(found["Limitations"])


def test_what_no_record_knows_is_left_to_the_writer(tmp_path: Path) -> None:
    write_arms(tmp_path / "runs")
    found = checked(tmp_path / "runs")
    missing = {title for title, lines in found.items() if any(MISSING in line for line in lines)}
    assert missing == found.keys() - {"Statistical significance"}
    alone = {title for title, lines in found.items() if all(MISSING in line for line in lines)}
    assert alone == {"Licences", "Other questions"}


def test_a_table_knows_less(tmp_path: Path) -> None:
    """Neither devices nor hours nor hashes are said of a table, but asked for."""
    rows = [f"{a},{s},{90 + s + n},A" for n, a in enumerate(("none", "se")) for s in range(3)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["arm,seed,score,device", *rows]))
    found = checked(table)
    assert [line for line in found["Compute resources"] if MISSING not in line] == []
    assert "hours of a run and of all" in found["Compute resources"][0]
    assert "All runs have device=A." in " ".join(found["Experimental setting and details"])
    assert "Seeds: 0 to 2." in found["Reproducing it: code, data, seeds"][0]
    assert "versions and hashes" in " ".join(found["Reproducing it: code, data, seeds"])
    assert "A table cannot prove" in " ".join(found["Limitations"])
    assert "A seed draws" not in " ".join(found["Statistical significance"])
    assert MISSING in found["Statistical significance"][-1]


def test_names_are_escaped(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "".join(f"{a},{s},9{s}\n" for a in ("none", "<b>[x](y)\x1b") for s in range(3))
    )
    table.write_text("arm,seed,score\n" + table.read_text())
    checked(table)
    page = (tmp_path / "out" / "checklist.md").read_text()
    assert r"\<b\>\[x\](y)\\x1b" in page
    assert "\x1b" not in page


def declare(base: Path, arms: Sequence[str], **more: Any) -> StudyPlan:
    """A plan in the folder of these runs that counts all runs of its arms, and is in them."""
    planned = [PlannedArm(f"{arm}-00000000", "resnet20-00000000", []) for arm in arms]
    fields = {
        "primary": "",
        "seeds": [0, 1, 2, 3, 4],
        "looks": [Look(3, 0.01), Look(5, 0.03)],
        "kept": 0.01,
        "margin": 0.5,
        "parent": "",
    }
    plan = StudyPlan(
        1, Declaration(planned, **{**fields, **more}), "2026-01-02T03:00:00+00:00", "c"
    )
    write_plan(base / "fake", plan)
    for folder in plan.declaration.runs_of:
        for run in (base / "fake" / folder).glob("seed*"):
            record = json.loads((run / "result.json").read_text())
            if "plan" in record or record["seed"] not in plan.declaration.seeds:
                continue
            record |= {"schema": 2, "plan": dataclasses.asdict(plan.reference)}
            (run / "result.json").write_text(json.dumps(record))
    return plan


def sentences(paragraph: str) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph.strip())


def test_a_plan_is_stated_in_two_sentences(tmp_path: Path) -> None:
    write_arms(tmp_path / "runs", 5)
    plan = declare(tmp_path / "runs", ["se"])
    lines = checked(tmp_path / "runs")["Statistical significance"]
    file = tmp_path / "runs/fake/plans" / f"{plan.declaration.name}.json"
    canonical = json.dumps(json.loads(file.read_text()), sort_keys=True, separators=(",", ":"))
    sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    [said] = [each for each in methods(tmp_path / "runs") if "sha256" in each]
    first, second = sentences(said)
    assert first == (
        "The comparison of the arms was declared before its first run, on "
        f"2026-01-02T03:00:00+00:00, as plan {plan.declaration.name} (sha256 {sha256}): 1 arm and "
        "their control, the seeds and their order, and tests at 3 (0.01) and 5 (0.03) seeds, in "
        "brackets the error that may be spent there, with 0.01 kept for an extension."
    )
    for words in ("paired t-test", "in the order declared", "without an adjustment", "0.05"):
        assert words in second
    assert second.endswith("independent from seed to seed and near normal.")
    assert any(sha256 in line for line in lines)
    assert "margin of +-0.5 points" in " ".join(methods(tmp_path / "runs"))
    assert "No plan" not in " ".join(methods(tmp_path / "runs"))


def test_an_arm_without_a_plan_beside_one_with(tmp_path: Path) -> None:
    """Each is named, with its own two sentences."""
    write_arms(tmp_path / "runs", 5)
    for seed in range(5):
        write_run(tmp_path / "runs", "wide", seed, 0.71, changes={**SE, "attention.ratio": 2})
        write_run(tmp_path / "runs", "eca_resnet20", seed, 0.7 + seed / 99, changes=ECA)
    declare(tmp_path / "runs", ["se", "wide"], primary="se-00000000")
    checked(tmp_path / "runs")
    said = [s for s in map(sentences, methods(tmp_path / "runs")) if "plan" in s[0]]
    (planned, rule), (unplanned, other_rule) = sorted(said, key=lambda s: "No plan" in s[0])
    assert "The comparison of se, wide was declared" in planned
    assert "with half of the error for se-00000000" in planned
    assert "weighted Holm adjustment over the 2 arms" in rule
    assert unplanned.startswith("No plan was declared for eca_resnet20, which were therefore")
    assert "3 (0.005), 5 (0.015), 8 (0.01), 12 (0.01) and 20 (0.01) seeds" in unplanned
    assert "in the order in which their runs were started" in other_rule
    assert "neither arms nor runs were chosen by their scores" in other_rule
    assert "chosen by their scores" not in rule


def test_an_extension_is_named_with_its_hash(tmp_path: Path) -> None:
    write_arms(tmp_path / "runs", 8)
    first = declare(tmp_path / "runs", ["se"])
    more = {"seeds": [*range(8)], "looks": [Look(8, 0.01)], "kept": 0.0}
    second = declare(tmp_path / "runs", ["se"], parent=first.declaration.name, **more)
    checked(tmp_path / "runs")
    text = " ".join(methods(tmp_path / "runs"))
    assert f"extended on {second.declared} by {second.declaration.name}" in text
    assert first.reference.sha256 in text
    assert second.reference.sha256 in text
    assert "3 (0.01), 5 (0.03) and 8 (0.01) seeds" in text
    assert "kept for an extension" not in text


@pytest.mark.parametrize("seconds", [0.0, 10.0, 5e6])
def test_any_time_is_written_as_hours(tmp_path: Path, seconds: float) -> None:
    for run in write_arms(tmp_path / "runs", 2):
        change(run, seconds=seconds)
    *_, total, _ = checked(tmp_path / "runs")["Compute resources"]
    number = float(total.split("4 runs, ")[1].split(" hours")[0].replace(",", ""))
    assert number == pytest.approx(4 * seconds / 3600, rel=5e-3)
