"""A finished run is found by the words of its command, without a plan, until anything changes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import TINY, Result, Senet, brief_runs_in, draw_tree

from senet_train.cli import main
from senet_train.runs import finished
from senet_train.system import resources
from senet_train.system.files import cache_folder

SETTINGS = tuple(
    word for word in TINY if not word.startswith(("data=", "data.num", "trainer.max_epochs"))
)
SETTINGS += ("data=imagenet_subset", "trainer.max_epochs=1")


class Planned(Exception):
    """A plan was made."""


@pytest.fixture
def senet_without_plans(senet: Senet, monkeypatch: pytest.MonkeyPatch) -> Senet:
    """The command after which a plan is an error, in this process that has imported torch."""

    def run(*arguments: str) -> Result:
        with monkeypatch.context() as patch:
            patch.setattr("senet_train.training.run.make_plan", refuse_to_plan)
            return senet(*arguments)

    return run


def refuse_to_plan(*arguments: object) -> None:
    raise Planned


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of images that nobody has changed for a while."""
    draw_tree(tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a finished run on such a tree."""
    base = tmp_path_factory.mktemp("made")
    draw_tree(base / "tree")
    with brief_runs_in(base):
        assert main([*SETTINGS, f"data.root={base / 'tree'}"]) == 0
    return base / "outputs"


@pytest.fixture(autouse=True)
def files_settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' files are new: take them as settled when a run begins."""
    monkeypatch.setattr(finished, "SETTLED_NS", 0)


def test_no_plan_is_made_again(senet: Senet, senet_without_plans: Senet) -> None:
    first = senet(*TINY)
    again = senet_without_plans(*TINY)
    assert (again.code, again.out) == (0, first.out)
    assert "found finished" in again.err


@pytest.mark.usefixtures("finished_run")
def test_a_plan_is_made_for_other_words(senet: Senet, senet_without_plans: Senet) -> None:
    """The control of every test here: where nothing is kept, there is a plan."""
    assert "found finished" in senet(*TINY).err  # by a plan, which is kept
    for other in ("seed=1", "overwrite=true", "dry_run=true", "output_dir=others"):
        assert "Planned" in senet_without_plans(*TINY, other).err


def edit_in_place(tree: Path) -> None:
    """As a tool does that restores the time of modification."""
    file = next(tree.rglob("*.png"))
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_another_in_its_place(tree: Path) -> None:
    first, second = sorted(tree.rglob("*.png"))[:2]
    spare = first.with_suffix(".spare")
    first.rename(spare)
    second.rename(first)
    spare.rename(second)


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited in place": edit_in_place,
    "exchanged": put_another_in_its_place,
    "one less": lambda tree: next(tree.rglob("*.png")).unlink(),
    "a link to one more": lambda tree: (next(tree.rglob("*.png")).parent / "more.png").symlink_to(
        next(tree.rglob("*.png"))
    ),
    "an empty class": lambda tree: (tree / "train" / "empty").mkdir(),
    "moved away": lambda tree: tree.rename(tree.with_name("away")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_are_planned_with(
    senet: Senet, senet_without_plans: Senet, tree: Path, outputs: Path, change: str
) -> None:
    shutil.copytree(outputs, tree.with_name("outputs"))
    words = (*SETTINGS, f"data.root={tree}")
    assert "found finished" in senet(*words).err
    assert senet_without_plans(*words).code == 0
    CHANGES[change](tree)
    assert "Planned" in senet_without_plans(*words).err


def test_data_that_change_during_a_run_are_planned_with(
    senet: Senet, senet_without_plans: Senet, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SETTINGS, f"data.root={tree}")
    keep = finished.keep_plan
    with monkeypatch.context() as patch:
        patch.setattr(
            "senet_train.training.run.keep_plan",
            lambda *arguments: (edit_in_place(tree), keep(*arguments)),
        )
        senet(*words)
    assert "Planned" in senet_without_plans(*words).err


def other_packages(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "torch-99.0.dist-info").mkdir(parents=True)
    patch.syspath_prepend(str(folder))


AROUND: dict[str, Callable[[pytest.MonkeyPatch, Path], object]] = {
    "our code": lambda patch, _: patch.setattr(finished, "code_hash", lambda: "0" * 64),
    "a package": other_packages,
    "a hidden GPU": lambda patch, _: patch.setenv("CUDA_VISIBLE_DEVICES", "7"),
    "a driver": lambda patch, _: patch.setattr(resources, "DRIVERS", (__file__,)),
    "the processor": lambda patch, folder: patch.setattr(resources, "PROC", folder),
    "the working folder": lambda patch, folder: patch.chdir(folder.parent),
}


@pytest.mark.usefixtures("finished_run")
@pytest.mark.parametrize("what", AROUND)
def test_a_plan_is_made_where_anything_else_has_changed(
    senet: Senet,
    senet_without_plans: Senet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    words = (*TINY, f"output_dir={tmp_path / 'outputs'}")
    assert "found finished" in senet(*words).err
    (tmp_path / "elsewhere" / "there").mkdir(parents=True)
    AROUND[what](monkeypatch, tmp_path / "elsewhere" / "there")
    assert "Planned" in senet_without_plans(*words).err


def test_a_plan_is_made_for_a_run_that_is_gone_or_damaged(
    senet: Senet, senet_without_plans: Senet, tmp_path: Path, finished_run: Path
) -> None:
    assert "found finished" in senet(*TINY).err
    folder = finished_run
    record, identity = folder / "result.json", folder.parent / "identity.json"
    for file, before, after in (
        (record, '"seed": 0', '"seed": 7'),
        (record, '"identity": "', '"identity": "0'),
        (record, '"data_fingerprint": "', '"data_fingerprint": "0'),
        (record, "{", "["),
        (identity, '"sha256": "', '"sha256": "0'),
    ):
        content = file.read_text()
        file.write_text(content.replace(before, after, 1))
        assert file.read_text() != content
        assert "Planned" in senet_without_plans(*TINY).err
        file.write_text(content)
        assert senet_without_plans(*TINY).code == 0
    folder.rename(tmp_path / "away")
    assert "Planned" in senet_without_plans(*TINY).err


@pytest.mark.usefixtures("finished_run")
def test_a_kept_plan_that_is_damaged_is_made_again(
    senet: Senet, senet_without_plans: Senet
) -> None:
    assert "found finished" in senet(*TINY).err
    for file in (finished.cache_folder() / "plans").iterdir():
        file.write_text("{}")
    assert "Planned" in senet_without_plans(*TINY).err
    assert "found finished" in senet(*TINY).err
    assert senet_without_plans(*TINY).code == 0


@pytest.mark.usefixtures("finished_run")
def test_it_is_found_without_torch(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(finished, "cache_folder", cache_folder)
    first = senet(*TINY)
    program = (
        "import sys; from senet_train.cli import main; assert main(sys.argv[1:]) == 0; "
        "print({'torch', 'torchvision', 'pytorch_lightning', 'numpy'} & sys.modules.keys())"
    )
    again = subprocess.run(
        [sys.executable, "-c", program, *TINY], cwd=tmp_path, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.out + "set()\n"
