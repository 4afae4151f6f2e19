"""The notebooks of docs/ run, are small, and name nothing of the machine that ran them."""

import base64
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
PLACES = ("/home", "/tmp", "/root", "/work", "/usr", "site-packages", "EPYC", "Xeon")


def outputs_of(book: Any) -> list[list[Any]]:
    """The outputs of each code cell."""
    return [cell.outputs for cell in book.cells if cell.cell_type == "code"]


def kinds(book: Any) -> list[list[str]]:
    """What each code cell puts out: "stream", "display_data".

    A slow machine sends one text in several parts.
    """
    each = ([output.output_type for output in outputs] for outputs in outputs_of(book))
    return [[kind for kind, _ in groupby(types)] for types in each]


def test_there_are_notebooks() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["se_block", "study"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_with_small_outputs(file: Path) -> None:
    book = nbformat.read(file, as_version=4)
    nbformat.validate(book)
    outputs = [output for each in outputs_of(book) for output in each]
    pictures = [o.data["image/png"] for o in outputs if o.output_type == "display_data"]
    assert pictures
    assert all(len(base64.b64decode(picture)) < 100_000 for picture in pictures)
    assert len(file.read_bytes()) < 300_000


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_names_no_machine_and_no_count_of_executions(file: Path) -> None:
    book = nbformat.read(file, as_version=4)
    text = "".join(output.get("text", "") for each in outputs_of(book) for output in each)
    assert len(text) > 200
    assert [place for place in PLACES if place in text] == []
    assert {cell.execution_count for cell in book.cells if cell.cell_type == "code"} == {None}
    assert [cell.metadata for cell in book.cells if cell.metadata] == []


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file: Path, tmp_path: Path) -> None:
    """No cell fails, and each puts out what it is kept with: text, a picture or nothing."""
    from nbclient import NotebookClient

    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "evidence").symlink_to(ROOT / "docs/evidence")
    book = nbformat.read(file, as_version=4)
    kept = kinds(book)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=900, resources=where).execute()
    assert kinds(book) == kept
