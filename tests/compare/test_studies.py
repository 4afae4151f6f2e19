"""The tables of docs/ are what senet-compare says of the records beside them."""

from itertools import takewhile
from pathlib import Path

import pytest

from senet_train.commands.compare import main

pytestmark = pytest.mark.usefixtures("unrendered")  # tests/compare/test_pictures.py is of pictures

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "evidence/studies"
STUDIES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


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


@pytest.mark.parametrize("study", STUDIES)
def test_records_name_no_folder_of_a_machine(study: str) -> None:
    for file in (FOLDER / study).rglob("*.json"):
        assert not {"/tmp", "/home", "/root", "/work"} & set(file.read_text().split('"'))
        assert '"/' not in file.read_text()
