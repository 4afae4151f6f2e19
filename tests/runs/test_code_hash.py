"""`environment.code` is the hash of the rooms that make a run's numbers, and of no others."""

import shutil
from pathlib import Path

import pytest
from support import ROOT

from senet_train.runs.code import ROOMS_OF_NUMBERS, code_hash, hash_sources

PACKAGE = ROOT / "senet_train"
# They read runs and images, draw, or start runs: no number of a run comes from them.
ROOMS_LEFT_OUT = {"__init__", "__main__", "cli", "commands", "compare", "figures", "sweeps"}

COUNTED = (
    "errors.py",
    "attention/squeeze_excite.py",
    "data/augment.py",
    "networks/kernels/passes.cpp",
    "runs/metrics.py",
    "training/learner.py",
)
NOT_COUNTED = (
    "cli.py",
    "figures.py",
    "commands/compare.py",
    "compare/collect.py",
    "runs/trained/load.py",
    "sweeps/view.py",
    "training/pictures/classes.py",
)


def test_every_room_is_counted_or_left_out() -> None:
    """A new room appears in one of the two lists, in neither by accident."""
    rooms = {file.relative_to(PACKAGE).parts[0] for file in PACKAGE.rglob("*.py")}
    assert {room.removesuffix(".py") for room in rooms} == {*ROOMS_OF_NUMBERS, *ROOMS_LEFT_OUT}
    assert not ROOMS_LEFT_OUT & set(ROOMS_OF_NUMBERS)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package whose files a test may change."""
    copy = tmp_path_factory.mktemp("code") / "senet_train"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def hash_with_change(package: Path, name: str) -> str:
    """The hash while the file has one more line."""
    file = package / name
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    try:
        return hash_sources(package)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", COUNTED)
def test_a_change_of_what_makes_numbers_changes_the_hash(package: Path, name: str) -> None:
    assert hash_with_change(package, name) != code_hash()


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_a_change_of_what_only_reads_does_not(package: Path, name: str) -> None:
    assert hash_with_change(package, name) == code_hash()


def test_a_moved_file_changes_the_hash(package: Path) -> None:
    moved = package / "data/augmented.py"
    (package / "data/augment.py").rename(moved)
    assert hash_sources(package) != code_hash()
    moved.rename(package / "data/augment.py")
