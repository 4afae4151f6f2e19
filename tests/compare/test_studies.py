"""The tables of docs/ are what senet-compare says of the records beside them."""

import json
from itertools import takewhile
from pathlib import Path

import pytest

from senet_train.commands.compare import main

pytestmark = pytest.mark.usefixtures("unrendered")  # tests/compare/test_pictures.py is of pictures

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "evidence/studies"


def is_whole(study: Path) -> bool:
    """Whether every run that its plan declares is there; a study without a plan is as it is."""
    plans = [json.loads(file.read_text())["declaration"] for file in study.glob("plans/*.json")]
    declared = sum((len(plan["arms"]) + 1) * len(plan["seeds"]) for plan in plans)
    return len(list(study.rglob("result.json"))) >= declared


EVERY = {path.name: is_whole(path) for path in sorted(FOLDER.iterdir()) if path.is_dir()}
STUDIES = [name for name, whole in EVERY.items() if whole]


def test_no_page_judges_a_study_that_is_under_way() -> None:
    [under_way] = [name for name, whole in EVERY.items() if not whole]
    assert under_way == "cifar10_jpeg_15_epochs"
    assert under_way not in (DOCS / "evidence/results.md").read_text()


def test_there_are_studies() -> None:
    assert STUDIES == [
        "cifar10_jpeg_1_epoch",
        "cifar10_jpeg_3_epochs",
        "cifar10_jpeg_3_epochs_folded",
        "finetune_imagenette_mini",
        "se_ratio_digits_declared",
        "shapes_detection",
        "shapes_segmentation",
    ]


@pytest.mark.parametrize("study", STUDIES)
def test_tables_are_those_of_the_records(study: str, tmp_path: Path) -> None:
    assert main([str(FOLDER / study), "--out", str(tmp_path)]) == 0
    report = (tmp_path / "comparison.md").read_text()
    shown = "".join((DOCS / name).read_text() for name in ("evidence/results.md", "guide/tasks.md"))
    rows = [line for line in report.splitlines() if line.startswith(("| ", "- "))]
    rows = list(takewhile(lambda row: "ImageNet, table" not in row, rows))
    assert len(rows) > 10
    assert [row for row in rows if row not in shown] == []


@pytest.mark.parametrize("study", EVERY)
def test_records_name_no_folder_of_a_machine(study: str) -> None:
    for file in (FOLDER / study).rglob("*.json"):
        assert not {"/tmp", "/home", "/root", "/work"} & set(file.read_text().split('"'))
        assert '"/' not in file.read_text()
