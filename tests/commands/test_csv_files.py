"""No CSV file of ours holds a formula: every command's tables, filled with hostile words."""

import csv
import dataclasses
import io
import math
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from senet_train.commands.data_check.findings import Finding
from senet_train.commands.data_check.report import write_csv
from senet_train.commands.evaluate.evaluation import Evaluation
from senet_train.commands.evaluate.files import tables as evaluation_tables
from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.files import tables as inspection_tables
from senet_train.commands.inspect.knockout import Knockout
from senet_train.commands.inspect.timing import AddedTime
from senet_train.commands.predict.report import write_rows
from senet_train.commands.predict.rows import Row
from senet_train.commands.profile.files import as_csv as profile_csv
from senet_train.commands.profile.measure import Profile
from senet_train.compare.comparison import Comparison
from senet_train.compare.render.exports import csv_text as comparison_csv
from senet_train.runs.record import Environment
from senet_train.system.csv_files import as_csv, escape_formula, written

FORMULAS = ["=HYPERLINK(1)", "+1+cmd", "-a", "@sum", "\t=1", "\r=1", "cat\r=1", "cat\n=1", 'a",=1']


def filled(kind: Any, text: str) -> Any:
    """A value of a type, with `text` for every string in it."""
    if kind in (str, Path):
        return kind(text)
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if name[0] != "_"}
        return kind(**{name: filled(hint, text) for name, hint in hints.items()})
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return filled(inner[0], text)
    if origin is list:
        return [filled(inner[0], text)] * 2
    if origin is tuple:
        return tuple(filled(each, text) for each in inner if each is not ...)
    if origin is dict:
        return {filled(inner[0], text): filled(inner[1], text)}
    if origin is np.ndarray:
        return np.zeros((2, 2), int)
    return inner[0] if origin is typing.Literal else kind(0)


def compared(text: str, folder: Path) -> list[str]:
    return [comparison_csv(filled(Comparison, text))]


def checked(text: str, folder: Path) -> list[str]:
    write_csv([Finding("leak", text, text)], folder / "found.csv")
    return [(folder / "found.csv").read_bytes().decode()]


def predicted(text: str, folder: Path) -> list[str]:
    write_rows(iter([filled(Row, text)]), folder / "said.csv", 2)
    return [(folder / "said.csv").read_bytes().decode()]


def evaluated(text: str, folder: Path) -> list[str]:
    return list(evaluation_tables(filled(Evaluation, text)).values())


def inspected(text: str, folder: Path) -> list[str]:
    layer = filled(Layer, text)
    gates = dataclasses.replace(layer.gates, all_mean=np.ones(2), all_std=np.ones(2))
    layers = [dataclasses.replace(layer, gates=gates)]
    found = inspection_tables(layers, [filled(Knockout, text)], [filled(AddedTime, text)])
    return list(found.values())


def profiled(text: str, folder: Path) -> list[str]:
    return [profile_csv([filled(Profile, text)], filled(Environment, text))]


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(
    "write",
    [compared, checked, predicted, evaluated, inspected, profiled],
    ids=lambda f: f.__name__,
)
def test_no_command_writes_a_formula(
    write: Callable[[str, Path], list[str]], formula: str, tmp_path: Path
) -> None:
    texts = write(formula, tmp_path)
    cells = [cell for text in texts for row in csv.reader(io.StringIO(text, "")) for cell in row]
    assert str(written(formula)) in cells
    assert not [c for c in cells if c.startswith(tuple("=+-@\t\r")) and not is_number(c)]


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("@sum", "'@sum"), ("-a", "'-a")]
    + [(cell, cell) for cell in ("-5", "+1e-3", "-inf", "cat", "a=b", "", -5, -0.5, None)],
)
def test_a_formula_gets_a_quote_and_a_number_does_not(cell: object, written: object) -> None:
    assert escape_formula(cell) == written


def test_figures_are_written_as_the_standard_library_does() -> None:
    """metrics.csv is read again, and a run that goes on writes it anew: not a byte may change."""
    rows = [
        {"epoch": 0, "val_loss": -0.1, "lr": 1e-05, "seconds": 1.25},
        {"epoch": 1, "val_loss": math.nan, "lr": -math.inf, "seconds": float(np.float32(0.1))},
    ]
    usual = io.StringIO()
    writer = csv.DictWriter(usual, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert as_csv(rows) == usual.getvalue()
    assert as_csv([]) == ""


def test_there_is_no_other_writer_of_csv() -> None:
    writers = re.compile(r"csv\.writer|DictWriter|to_csv")
    found = {f.name for f in (ROOT / "senet_train").rglob("*.py") if writers.search(f.read_text())}
    assert found == {"csv_files.py"}
