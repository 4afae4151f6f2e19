"""Folders without end, and links that make a tree endless: a command ends, and memory does too."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from senet_train.commands.data_check.survey import survey
from senet_train.commands.predict.walk import MOST_TIMES, SkippedFiles, image_files
from senet_train.compare.collect import find_runs
from senet_train.data.class_folders import list_part
from senet_train.data.layout import find_layout
from senet_train.errors import InputError
from senet_train.system import listing


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose listing never ends, as of a hostile file system."""
    folder = tmp_path / "endless"
    folder.mkdir()
    usual = os.scandir

    @contextmanager
    def scandir(path: Any = ".") -> Iterator[Any]:
        if Path(path) == folder:
            yield (named(folder, number) for number in count())
        else:
            with usual(path) as entries:
                yield entries

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(listing, "MOST_ENTRIES", 1000)
    return folder


def named(folder: Path, number: int) -> Any:
    """An entry of a folder."""
    return SimpleNamespace(
        name=f"{number}.png",
        path=str(folder / f"{number}.png"),
        is_dir=lambda: False,
        is_file=lambda: True,
        is_symlink=lambda: False,
        stat=lambda: SimpleNamespace(st_size=1),
    )


def evaluated(folder: Path) -> None:
    layout = find_layout(folder.parent, "FOLDER")
    list_part(layout, "train", [], frozenset())


WALKS: dict[str, Callable[[Path], object]] = {
    "senet-compare": lambda folder: list(find_runs(folder)),
    "senet-data": lambda folder: find_layout(folder, "PATH"),
    "senet-evaluate": evaluated,
}


@pytest.mark.parametrize("command", WALKS)
def test_an_endless_folder_is_refused(command: str, endless: Path) -> None:
    (endless.parent / "other").mkdir()
    (endless.parent / "other" / "1.png").touch()
    with pytest.raises(InputError, match="endless has more than 1,000 entries: divide them"):
        WALKS[command](endless)


def test_senet_predict_leaves_an_endless_folder_out(endless: Path) -> None:
    (endless.parent / "z.png").touch()
    skipped = SkippedFiles()
    assert list(image_files([endless.parent], skipped)) == [str(endless.parent / "z.png")]
    assert skipped.count == 1


def test_senet_data_does_not_hold_an_endless_class(endless: Path) -> None:
    for name in ("cat", "dog"):
        (endless.parent / name).mkdir()
        (endless.parent / name / "1.png").touch()
    with pytest.raises(InputError, match="endless has more than 1,000 entries"):
        survey(find_layout(endless.parent, "PATH"))


def test_a_full_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: up to the limit."""
    monkeypatch.setattr(listing, "MOST_ENTRIES", 3)
    for number in range(3):
        (tmp_path / str(number)).touch()
    assert listing.names_in(tmp_path) == ["0", "1", "2"]


def test_folders_that_link_to_each_other_come_to_an_end(tmp_path: Path) -> None:
    """Of 8 folders with links to all, there are 109,601 ways through them."""
    names = [f"d{number}" for number in range(8)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
        for other in names:
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
    skipped = SkippedFiles()
    found = list(image_files([tmp_path], skipped))
    assert {Path(file).resolve().parent.name for file in found} == set(names)
    assert len(found) <= len(names) * MOST_TIMES
    assert skipped.count > 0


def test_a_tree_deeper_than_python_recurses(tmp_path: Path) -> None:
    deep = tmp_path / "/".join("d" * 150)
    deep.mkdir(parents=True)
    (deep / "a.png").touch()
    (deep / "status.json").touch()
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found, runs = list(image_files([tmp_path], SkippedFiles())), list(find_runs(tmp_path))
    finally:
        sys.setrecursionlimit(usual)
    assert found == [str(deep / "a.png")]
    assert runs == [deep]
