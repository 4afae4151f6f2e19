"""senet-compare --tensorboard: its files are its own, equal when written again, legibly named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compare_runs import write_run
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from senet_train.commands.compare import main
from senet_train.compare.tensorboard.arms import folder_name
from senet_train.compare.tensorboard.curves import curve_of

SE = {"attention.name": "se", "attention.ratio": 4}
ROWS = "epoch,train_loss,train_top1,val_loss,val_top1\n0,1,0.5,1,0.5\n"
Arms = Callable[..., int]


@pytest.fixture
def arms(tmp_path: Path) -> Arms:
    """`arms()` is `senet-compare runs --tensorboard arms`."""
    return lambda *more: main(
        [str(tmp_path / "runs"), "--tensorboard", str(tmp_path / "arms"), *more]
    )


def make(base: Path, label: str, seed: int, top1: float, **more: object) -> Path:
    folder = write_run(base / "runs", label, seed, top1, **more)
    (folder / "metrics.csv").write_text(ROWS)
    return folder


def make_table(base: Path) -> None:
    for seed in range(3):
        make(base, "resnet20", seed, 0.7 + seed / 100)
        make(base, "se_resnet20-r4", seed, 0.75 + seed**2 / 100, changes=SE)


def files_of(base: Path) -> dict[str, bytes]:
    files = (path for path in (base / "arms").rglob("*") if path.is_file())
    return {str(path.relative_to(base / "arms")): path.read_bytes() for path in files}


def folders_of(base: Path) -> set[str]:
    return {name.rpartition("/")[0] for name in files_of(base)}


def test_written_again_it_is_the_same(arms: Arms, tmp_path: Path) -> None:
    make_table(tmp_path)
    assert arms() == 0
    first = files_of(tmp_path)
    assert folders_of(tmp_path) == {"resnet20", "se_resnet20-r4"}
    assert arms() == 0
    assert files_of(tmp_path) == first
    make(tmp_path, "eca_resnet20", 0, 0.7, changes={"attention.name": "eca"})
    assert arms() == 0
    assert len(files_of(tmp_path)) == 3  # the first's, which names the columns, is another
    assert set(files_of(tmp_path)) & set(first) != set(first)
    for file in (tmp_path / "runs" / "fake" / "eca_resnet20-00000000").rglob("*.json"):
        file.unlink()
    assert arms() == 0
    assert files_of(tmp_path) == first
    assert not (tmp_path / "arms" / "eca_resnet20").exists()


def test_what_a_killed_writer_left_goes(arms: Arms, tmp_path: Path) -> None:
    make_table(tmp_path)
    assert arms() == 0
    [first, *_] = (tmp_path / "arms").rglob("*.senet-compare")
    (first.parent / f".{first.name}.k3x_9a.tmp").touch()
    assert arms() == 0
    assert len(files_of(tmp_path)) == 2


@pytest.mark.parametrize("kind", ["file", "run", "link"])
def test_a_folder_with_anything_else_is_refused(
    arms: Arms, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    make_table(tmp_path)
    assert arms() == 0
    foreign = tmp_path / "arms" / "resnet20" / "events.out.tfevents.1.host"
    if kind == "file":
        foreign = tmp_path / "arms" / "thesis.txt"
    if kind == "link":
        foreign.symlink_to(tmp_path / "runs")
    else:
        foreign.touch()
    before = files_of(tmp_path)
    capsys.readouterr()
    assert arms() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"holds something else, {foreign.relative_to(tmp_path / 'arms')}" in printed.err
    assert printed.err.count("\n") == 1
    assert files_of(tmp_path) == before


def test_nothing_is_written_of_damaged_runs(
    arms: Arms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_table(tmp_path)
    damaged = tmp_path / "runs/fake/resnet20-00000000/seed1/metrics.csv"
    damaged.write_text("epoch,val_top1\n0,0.5\n")
    assert arms() == 2
    assert "metrics.csv cannot be read (it has no column val_loss)" in capsys.readouterr().err
    assert not (tmp_path / "arms").exists()


def test_blocks_and_arms_of_one_name_have_folders_of_their_own(arms: Arms, tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for label, changes in (("resnet20", {}), ("se_resnet20-r4", SE)):
            folder = f"{label}-{'a' if lr == 0.1 else 'b'}0000000"
            more = {**changes, "optim.lr": lr}
            make(tmp_path, label, 0, 0.7, changes=more, folder=folder)
    twin = {**SE, "attention.gate": "tanh", "optim.lr": 0.2}
    make(tmp_path, "se_resnet20-r4", 0, 0.8, changes=twin, folder="se_resnet20-r4-c0000000")
    assert arms() == 0
    first, second = "1 fake, resnet20", "2 fake, resnet20"
    assert folders_of(tmp_path) == {
        f"{first}/resnet20",
        f"{first}/se_resnet20-r4",
        f"{second}/resnet20",
        f"{second}/se_resnet20-r4 se_resnet20-r4-b0000000",
        f"{second}/se_resnet20-r4 se_resnet20-r4-c0000000",
    }
    found = {}
    for path in (tmp_path / "arms").rglob("*.senet-compare"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(path.parent.parent.name)
    assert found["custom_scalars__config__"] == [first]  # one layout, for all runs
    assert sorted(set(found["_hparams_/session_start_info"])) == [first, second]


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("se_resnet20-r4 (trainer.max_epochs=12)", "se_resnet20-r4 trainer.max_epochs=12"),
        ("../../etc", "_.._etc"),
        (". ..", "arm"),
        ("ä/<b>", "___b_"),
        ("x" * 300, "x" * 160),
    ],
)
def test_folders_stay_where_they_are(label: str, folder: str) -> None:
    assert folder_name(label) == folder


def test_bands_end_where_scores_and_losses_do(arms: Arms, tmp_path: Path) -> None:
    """Two seeds of top-1 0.99 and 0.1, of loss 0.1 and 3: mean +- sd would be 1.17 and -0.5."""
    for seed, (top1, loss) in enumerate([(0.99, 0.1), (0.1, 3.0)]):
        for label, changes in (("resnet20", {}), ("se", SE)):
            folder = make(tmp_path, label, seed, 0.7, changes=changes)
            rows = f"epoch,train_loss,train_top1,val_loss,val_top1\n0,{loss},{top1},{loss},{top1}\n"
            (folder / "metrics.csv").write_text(rows)
    assert arms() == 0
    ends: dict[str, set[float]] = {}
    for path in (tmp_path / "arms").rglob("*.senet-compare"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag.startswith("band/"):
                    number = round(float(value.tensor.float_val[0]), 3)
                    ends.setdefault(value.tag.removeprefix("band/"), set()).add(number)
    assert ends["val/top1/mean+sd"] == ends["train/top1/mean+sd"] == {1.0}
    assert ends["val/top1/mean-sd"] == ends["val/loss/mean-sd"] == ends["train/loss/mean-sd"] == {0}
    assert ends["val/loss/mean+sd"] == {round(1.55 + np.std([0.1, 3.0], ddof=1), 3)}


def test_seeds_count_as_far_as_all_have_come() -> None:
    curve = curve_of([[1, 2, 3], [3, 6]])
    np.testing.assert_allclose(curve.mean, [2, 4])
    np.testing.assert_allclose(curve.sd, [2**0.5, 8**0.5])
    np.testing.assert_array_equal(curve_of([[1, 2]]).sd, [0, 0])  # no spread, and no nan
