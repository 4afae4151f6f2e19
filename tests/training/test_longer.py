"""A longer run goes on from a finished shorter one, to the bits of one that was trained at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from processes.outcome import equal, state_of
from support import TINY, Result, Senet, brief_runs_in, config, run_folders

from senet_train.cli import main
from senet_train.runs.checkpoint_files import read_checkpoint, write_checkpoint
from senet_train.runs.record import read_record
from senet_train.training.longer import shorter_runs
from senet_train.training.plan import make_plan
from senet_train.training.tasks.classification import ImageClassifier

# 3 batches an epoch.
LINE = (*TINY, "trainer.deterministic=true", "optim/schedule=constant", "data.crop=pad")
TWO, FOUR = "trainer.max_epochs=2", "trainer.max_epochs=4"
GOES_ON = "has finished 2 of these 4 epochs"
NOT = "has finished 2 of these 4 epochs, and is not gone on from: "


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry for every batch that is trained."""
    compute, seen = ImageClassifier.training_loss, list[int]()

    def training_loss(module: ImageClassifier, batch: Any) -> torch.Tensor:
        seen.append(module.progress.epoch)
        return compute(module, batch)

    monkeypatch.setattr(ImageClassifier, "training_loss", training_loss)
    return seen


def longer(base: Path) -> Path:
    """The folder of the run of four epochs."""
    [found] = [
        run for run in run_folders(base) if "max_epochs: 4" in (run / "config.yaml").read_text()
    ]
    return found


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Output folders that nobody changes: of two epochs, and of four that went on from them."""
    base = tmp_path_factory.mktemp("made")
    with brief_runs_in(base):
        assert main([*LINE, TWO]) == 0
        shutil.copytree(base / "outputs", base / "two")
        assert main([*LINE, FOUR]) == 0
    return {TWO: base / "two", FOUR: base / "outputs"}


@pytest.fixture
def two(made_once: dict[str, Path], tmp_path: Path) -> Path:
    """The folder of a finished run of two epochs, as `senet(*LINE, TWO)` leaves it."""
    shutil.copytree(made_once[TWO], tmp_path / "outputs")
    [folder] = run_folders(tmp_path)
    return folder


@pytest.fixture
def four(made_once: dict[str, Path], tmp_path: Path) -> Path:
    """The folder of a run of four epochs that went on from one of two, which is beside it."""
    shutil.copytree(made_once[FOUR], tmp_path / "outputs")
    return longer(tmp_path)


def both(senet: Senet, *words: str) -> Result:
    """Two epochs, then four."""
    assert senet(*LINE, *words, TWO).code == 0
    result = senet(*LINE, *words, FOUR)
    assert result.code == 0, result.err
    return result


RECIPES = {
    "plain": (),
    "adamw, average, augmentation": (
        *("optim=adamw", "optim/schedule=constant", "trainer.ema_decay=0.8", "data.flip=true"),
    ),
    "several batches a step": ("optim.accumulate=3",),
}


@pytest.mark.parametrize(
    "name",
    [
        "adamw, average, augmentation",
        pytest.param("plain", marks=pytest.mark.slow),
        pytest.param("several batches a step", marks=pytest.mark.slow),
    ],
)
def test_it_ends_with_the_bits_of_a_run_at_once(
    senet: Senet,
    tmp_path: Path,
    batches: list[int],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    for folder in ("two", "whole"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "two")
    result = both(senet, *RECIPES[name])
    assert GOES_ON in result.err
    assert batches == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]  # none of them twice
    second = longer(tmp_path / "two")
    [first] = [run for run in run_folders(tmp_path / "two") if run != second]
    (first / "status.json").unlink()  # state_of finds the only run
    monkeypatch.chdir(tmp_path / "whole")
    assert senet(*LINE, *RECIPES[name], FOUR).code == 0
    at_once, gone_on = state_of(tmp_path / "whole"), state_of(tmp_path / "two")
    assert at_once["record"].pop("origin") == {"arm": "", "identity": "", "epochs": 0}
    known = json.loads((first.parent / "identity.json").read_text())["sha256"]
    origin = {"arm": first.parent.name, "identity": known, "epochs": 2}
    assert gone_on["record"].pop("origin") == origin
    assert equal(at_once, gone_on)


@pytest.mark.usefixtures("four")
def test_the_comparison_can_tell(tmp_path: Path) -> None:
    """Two epochs of the four are other weights: the control."""
    last = [read_checkpoint(run / "checkpoints/last.ckpt") for run in run_folders(tmp_path)]
    assert not equal(last[0]["state_dict"], last[1]["state_dict"])


def by_steps(senet: Senet, *, two: str, four: str) -> Result:
    """Two epochs and then four, whose rates are halved at these parts of each."""
    step = ("optim/schedule=step", "optim.schedule.gamma=0.5")
    assert senet(*LINE, *step, TWO, f"optim.schedule.milestones={two}").code == 0
    return senet(*LINE, *step, FOUR, f"optim.schedule.milestones={four}")


def test_a_step_schedule_whose_rates_were_those_so_far(
    senet: Senet, tmp_path: Path, batches: list[int]
) -> None:
    """Half of two epochs is a quarter of four; the next step is the first of a lower rate."""
    result = by_steps(senet, two="[0.5]", four="[0.25,0.75]")
    assert "going on from" in result.err
    assert len(batches) == 12
    rows = read_checkpoint(longer(tmp_path) / "checkpoints/last.ckpt")["progress"]["history"]
    assert [row["lr"] for row in rows] == pytest.approx([0.05, 0.025, 0.025, 0.0125])


SCHEDULES = {
    "one_cycle": ("optim/schedule=one_cycle",),
    "step": ("optim/schedule=step", "optim.schedule.milestones=[0.5]"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_depends_on_the_end(
    senet: Senet, tmp_path: Path, batches: list[int], name: str
) -> None:
    """One line says why not, and it is trained from its start."""
    result = both(senet, *SCHEDULES[name])
    said = f"{NOT}optim/schedule={name} depends on the end of training, and its rates were others"
    assert said in result.err
    assert len(batches) == 6 + 12
    assert read_record(longer(tmp_path) / "result.json").origin.epochs == 0


def test_a_rate_that_differs_at_the_next_step_alone(
    senet: Senet, tmp_path: Path, batches: list[int]
) -> None:
    """A checkpoint holds the rate of the step after it: that of the end of the shorter run."""
    result = by_steps(senet, two="[0.999]", four="[0.75]")
    assert "going on from" not in result.err
    assert "is not gone on from" not in result.err  # another schedule was asked for
    assert len(batches) == 18


Change = Callable[[Path], object]


def with_last(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def changed(run: Path) -> None:
        file = run / "checkpoints/last.ckpt"
        torch.save(change(read_checkpoint(file)), file)

    return changed


def made_by(**changes: str) -> Change:
    return with_last(lambda saved: {**saved, "made_by": {**saved["made_by"], **changes}})


NOT_FROM: dict[str, tuple[Change, str]] = {
    "other code": (made_by(code="0123456789abcdef"), f"{NOT}code was 0123456789ab and is "),
    "another run": (made_by(identity="ab" * 32), f"{NOT}its last checkpoint is of another run"),
    "no last": (
        lambda run: (run / "checkpoints/last.ckpt").unlink(),
        f"{NOT}it has no last checkpoint",
    ),
    "no best": (
        lambda run: (run / "checkpoints/best.ckpt").unlink(),
        f"{NOT}the checkpoint of its best epoch cannot be read",
    ),
    "a best that is a list": (
        lambda run: torch.save([1], run / "checkpoints/best.ckpt"),
        f"{NOT}the checkpoint of its best epoch is of another run",
    ),
    "a damaged last": (
        lambda run: (run / "checkpoints/last.ckpt").write_bytes(b"PK"),
        f"{NOT}it has no last checkpoint",
    ),
    "not finished": (lambda run: [(run / f).unlink() for f in ("result.json", "status.json")], ""),
    "damaged identity": (lambda run: (run.parent / "identity.json").write_text("[1]"), ""),
}


QUICK = ("other code", "no best", "not finished")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NOT_FROM]
)
def test_what_is_not_gone_on_from(senet: Senet, two: Path, batches: list[int], name: str) -> None:
    """It is trained from its start, whatever others have left there."""
    change, said = NOT_FROM[name]
    change(two)
    result = senet(*LINE, FOUR)
    assert result.code == 0, result.err
    assert (said in result.err) if said else ("gone on from" not in result.err)
    assert "going on from" not in result.err
    assert len(batches) == 12


@pytest.mark.usefixtures("senet", "two")
def test_another_run_is_none_to_go_on_from() -> None:
    """Nor is a run of as many epochs, or of more."""

    def found(*words: str) -> int:
        return len(list(shorter_runs(make_plan(config(*LINE, *words)))))

    assert found(FOUR) == found("trainer.max_epochs=3") == 1
    assert found(FOUR, "optim/schedule=cosine") == 1  # its rates are compared
    assert found(TWO) == found("trainer.max_epochs=1") == 0
    for word in ("seed=1", "optim.lr=0.01", "trainer.ema_decay=0.9", "ratio=2", "data.flip=false"):
        assert found(FOUR, word) == 0


def test_overwrite_begins_at_zero(senet: Senet, four: Path, batches: list[int]) -> None:
    assert senet(*LINE, FOUR, "overwrite=true").code == 0
    assert len(batches) == 12
    assert read_record(four / "result.json").origin.epochs == 0


def test_the_longest_is_gone_on_from(senet: Senet, batches: list[int]) -> None:
    for epochs in (1, 3):
        assert senet(*LINE, f"trainer.max_epochs={epochs}").code == 0
    assert "has finished 3 of these 4 epochs" in senet(*LINE, FOUR).err
    assert len(batches) == 12  # three went on from one as well


def test_stopped_after_it_it_goes_on_by_itself(
    senet: Senet, four: Path, batches: list[int]
) -> None:
    """And the record still has the origin."""
    run = four
    (run / "result.json").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    result = senet(*LINE, FOUR)
    assert "left interrupted: going on after 4 epochs" in result.err
    assert batches == []
    assert read_record(run / "result.json").origin.epochs == 2


def test_cut_while_it_takes_the_checkpoints_over(
    senet: Senet, tmp_path: Path, two: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint is written last: without it the run is trained from its start."""

    def cut(checkpoint: dict[str, Any], path: Path) -> None:
        if path.name == "last.ckpt":
            raise OSError(28, "No space left on device")
        write_checkpoint(checkpoint, path)

    with monkeypatch.context() as patch:
        patch.setattr("senet_train.training.longer.write_checkpoint", cut)
        result = senet(*LINE, FOUR)
    assert result.code == 1
    assert "No space left on device" in result.err
    assert len(list(tmp_path.rglob("best.ckpt"))) == 2
    result = senet(*LINE, FOUR)
    assert "starting again from zero" in result.err
    assert len(batches) == 12
    assert read_record(longer(tmp_path) / "result.json").origin.epochs == 0
