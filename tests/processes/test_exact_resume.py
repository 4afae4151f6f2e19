"""Killed anywhere and started again by the same line, a run ends with the very same bits."""

from pathlib import Path
from typing import Any

import pytest
from processes.dying import (
    AFTER_STEP,
    INT,
    KILL,
    PROVING,
    SAVING,
    SKIPPING,
    STEP,
    TERM,
    TEST,
    VALIDATION,
    run,
)
from processes.outcome import EVERY_STEP, LINE, equal, said, state_of, write_tree
from support import run_folders, status_of

PLACES = {
    "in the first step": (STEP, 0),
    "in the middle of an epoch": (STEP, 2),
    "in an epoch's last step": (STEP, 5),
    "after an epoch's last step": (AFTER_STEP, 5),
    "in validation": (VALIDATION, 1),
    "in the first step of an epoch": (STEP, 6),
    "late": (STEP, 10),
    "in the last validation": (VALIDATION, 3),
    "in the test": (TEST, 1),
}


# Where the files are those of another place: before the first epoch is saved there are none, and
# all of the second epoch finds what the first has left.
SAME_FILES = (
    *("in the first step", "in the middle of an epoch", "in an epoch's last step"),
    *("after an epoch's last step", "in the first step of an epoch"),
)


@pytest.mark.parametrize(
    ("place", "checkpoints"),
    [
        *((place, "each step") for place in PLACES),
        *(
            pytest.param(place, "each epoch", marks=[pytest.mark.slow] * (place in SAME_FILES))
            for place in PLACES
        ),
    ],
)
def test_killed(whole: dict[str, Any], tmp_path: Path, place: str, checkpoints: str) -> None:
    each_step = checkpoints == "each step"
    line = (*LINE, EVERY_STEP) if each_step else LINE
    assert run(tmp_path, line, PLACES[place], KILL) == -KILL
    assert run(tmp_path, line) == 0
    assert equal(whole, state_of(tmp_path))
    in_first_epoch = list(PLACES).index(place) < 5
    saved = place != "in the first step" if each_step else not in_first_epoch
    assert ("going on after" in said(tmp_path)) == saved  # not from zero, which is equal as well
    assert ("starting again from zero" in said(tmp_path)) != saved


def test_order_that_is_not_gone_on_with_gives_other_bits(
    whole: dict[str, Any], tmp_path: Path
) -> None:
    """The comparison can tell: resumed in mid-epoch with the epoch's first batches."""
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (STEP, 8), KILL) == -KILL
    assert run(tmp_path, line, without=SKIPPING) == 0
    other = state_of(tmp_path)
    assert not equal(whole["last"], other["last"])
    assert not equal(whole["metrics"], other["metrics"])
    assert equal(whole["metrics"][0], other["metrics"][0])


# How each signal ends a run is asked in test_ends.py: here it matters where it comes.
@pytest.mark.parametrize("signum", [TERM, pytest.param(INT, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("place", "position"),
    [
        ((STEP, 0), "0 epochs and 1 batch"),
        ((STEP, 9), "1 epoch and 4 batches"),  # the step it arrives in is done, and the last
        ((STEP, 5), "0 epochs and 6 batches"),  # obeyed before the validation
        ((VALIDATION, 0), "0 epochs and 6 batches"),
        ((VALIDATION, 2), "1 epoch and 6 batches"),
        ((VALIDATION, 3), "2 epochs and 0 batches"),  # the last one: obeyed before the test
    ],
)
def test_stopped_by_a_signal(
    whole: dict[str, Any], tmp_path: Path, signum: int, place: tuple[str, int], position: str
) -> None:
    """Saved within a step, epoch unfinished or not validated; gone on from exactly there."""
    assert run(tmp_path, LINE, place, signum) == 128 + signum
    assert status_of(*run_folders(tmp_path))["state"] == "interrupted"
    assert run(tmp_path, LINE) == 0
    assert f"left interrupted: going on after {position}" in said(tmp_path)
    assert equal(whole, state_of(tmp_path))


def test_many_kills(whole: dict[str, Any], tmp_path: Path) -> None:
    """Killed again and again, at every third step, it still gets there, and to the same bits."""
    line, tries = (*LINE, EVERY_STEP), 0
    while run(tmp_path, line, (STEP, 3), KILL) == -KILL:
        tries += 1
        assert tries < 10
    assert tries == 3  # 12 steps, 3 a try
    assert equal(whole, state_of(tmp_path))


@pytest.mark.parametrize("place", [(SAVING, 6), (PROVING, 6), (SAVING, 7), (PROVING, 7)])
def test_killed_while_it_saves(
    whole: dict[str, Any], tmp_path: Path, place: tuple[str, int]
) -> None:
    """After 6 steps, the 7th file is the epoch's best.ckpt, the 8th the last.ckpt after it."""
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, place, KILL) == -KILL
    assert run(tmp_path, line) == 0
    assert "going on after 0 epochs and 6 batches" in said(tmp_path)
    assert equal(whole, state_of(tmp_path))


def test_a_truncated_checkpoint_falls_back(whole: dict[str, Any], tmp_path: Path) -> None:
    line = (*LINE, EVERY_STEP)
    assert run(tmp_path, line, (STEP, 4), KILL) == -KILL
    [folder] = run_folders(tmp_path)
    last = folder / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    assert run(tmp_path, line) == 0
    assert "last.ckpt cannot be read, trying the one before it" in said(tmp_path)
    assert "going on after 0 epochs and 3 batches" in said(tmp_path)
    assert equal(whole, state_of(tmp_path))


@pytest.mark.parametrize("place", [(STEP, 8), (VALIDATION, 2)])
def test_averaged_weights(tmp_path: Path, place: tuple[str, int]) -> None:
    """In validation the network holds the average: it must not be saved as the network's own."""
    line = (*LINE, "trainer.ema_decay=0.8")
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "whole", line) == 0
    assert run(tmp_path / "cut", line, place, TERM) == 128 + TERM
    assert run(tmp_path / "cut", line) == 0
    assert "going on after 1 epoch and " in said(tmp_path / "cut")
    assert equal(state_of(tmp_path / "whole"), state_of(tmp_path / "cut"))


def test_any_number_of_workers(tmp_path: Path) -> None:
    """Random crops read from files: 0 and 2 workers, killed or not, all the same."""
    write_tree(tmp_path / "tree", num_images=8, side=40)
    line = (
        "data=imagenet_subset",
        f"data.root={tmp_path / 'tree'}",
        "data.image_size=32",
        "data.crop=resized",
        "data.cache=stream",
        "data.batch_size=2",
        "data.val_fraction=0.25",
        "model=se_resnet8",
        "ratio=4",
        "trainer.max_epochs=2",
        "trainer.precision=32",
        "trainer.deterministic=true",
        EVERY_STEP,
    )
    states = []
    for workers, place in ((0, None), (2, None), (2, (STEP, 4)), (0, (STEP, 8))):
        base = tmp_path / f"{workers}-{place and place[1]}"
        base.mkdir()
        here = (*line, f"data.workers={workers}")
        if place:
            assert run(base, here, place, KILL) == -KILL
        assert run(base, here) == 0
        assert bool(place) == ("going on after" in said(base))
        states.append(state_of(base))
    assert all(equal(states[0], state) for state in states[1:])
