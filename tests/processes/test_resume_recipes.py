"""Killed anywhere, a run with AdamW, mixed images, accumulation and an average ends the same."""

from pathlib import Path
from typing import Any

import pytest
from processes.dying import AFTER_STEP, KILL, STEP, VALIDATION, run
from processes.outcome import EVERY_STEP, LINE, equal, said, state_of, write_tree

# 6 batches an epoch, in 3 steps of 2.
RECIPE = (*LINE, "optim=adamw", "optim.accumulate=2", "optim.layer_decay=0.8", EVERY_STEP)
MIXED = (
    *("data.mixup=0.2", "data.cutmix=1.0", "data.augment=[randaugment,random_erasing]"),
    *("data.test_flips=horizontal", "data.crop=pad", "data.padding=2", "data.padding_mode=reflect"),
)
AVERAGED = (*RECIPE, *MIXED, "trainer.ema_decay=0.8")

# Where it is killed, and how far it then was: a checkpoint is made between two steps.
PLACES = {
    "in the second batch of a step": ((STEP, 3), "0 epochs and 2 batches"),
    "between two batches of a step": ((AFTER_STEP, 8), "1 epoch and 2 batches"),
    "in the first batch of a step": ((STEP, 8), "1 epoch and 2 batches"),
    "in validation": ((VALIDATION, 1), "0 epochs and 6 batches"),
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run leaves that nothing stopped."""
    base = tmp_path_factory.mktemp("unbroken")
    assert run(base, AVERAGED) == 0
    return state_of(base)


@pytest.mark.parametrize("place", PLACES)
def test_killed(unbroken: dict[str, Any], tmp_path: Path, place: str) -> None:
    where, position = PLACES[place]
    assert run(tmp_path, AVERAGED, where, KILL) == -KILL
    assert run(tmp_path, AVERAGED) == 0
    assert f"going on after {position}" in said(tmp_path)
    assert equal(unbroken, state_of(tmp_path))


def test_the_average_and_the_optimizer_are_in_what_is_compared(
    unbroken: dict[str, Any], tmp_path: Path
) -> None:
    """The comparison can tell: one batch more a step, and other weights and another state."""
    assert run(tmp_path, (*AVERAGED, "optim.accumulate=3")) == 0
    other = state_of(tmp_path)
    assert not equal(unbroken["best"], other["best"])
    for key in ("optimizer_states", "current_model_state", "averaging_state"):
        assert key in unbroken["last"]
        assert not equal(unbroken["last"][key], other["last"][key])


UNEQUAL = (
    *AVERAGED,
    *("data.sampling=balanced", "optim.class_weights=effective"),
    *("trainer.score=balanced_accuracy", "trainer.patience=1", "trainer.max_epochs=6"),
)


@pytest.mark.parametrize(
    "place",
    ["between two batches of a step", pytest.param("in validation", marks=pytest.mark.slow)],
)
def test_killed_with_unequal_classes(unbroken: dict[str, Any], tmp_path: Path, place: str) -> None:
    """Balanced sampling, weights and the count of patience go on as if nothing had happened."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    assert run(whole, UNEQUAL) == 0
    where, position = PLACES[place]
    assert run(cut, UNEQUAL, where, KILL) == -KILL
    assert run(cut, UNEQUAL) == 0
    assert f"going on after {position}" in said(cut)
    assert equal(state_of(whole), state_of(cut))
    assert not equal(unbroken["best"], state_of(cut)["best"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 pictures to train and validate on: 12 and 4, in 6 batches of 2."""
    folder = tmp_path_factory.mktemp("pictures") / "tree"
    write_tree(folder, num_images=8, side=40)
    return folder


def of_files(tree: Path, workers: int) -> tuple[str, ...]:
    """The recipe on crops of files, read by so many workers."""
    ours = (
        "data=",
        "data.num",
        "data.image",
        "data.batch",
        "data.val",
        "data.crop",
        "data.padding",
    )
    kept = [word for word in AVERAGED if not word.startswith(ours)]
    data = ("data=imagenet_subset", f"data.root={tree}", "data.image_size=32", "data.crop=resized")
    batches = ("data.cache=stream", "data.batch_size=2", "data.val_fraction=0.25")
    return (*data, *batches, *kept, f"data.workers={workers}")


@pytest.fixture(scope="module")
def unbroken_of_files(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = tmp_path_factory.mktemp("unbroken_of_files")
    assert run(base, of_files(tree, 0)) == 0
    return state_of(base)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("step", [3, 6, 9])
def test_killed_while_it_reads_files(
    unbroken_of_files: dict[str, Any], tree: Path, tmp_path: Path, workers: int, step: int
) -> None:
    """In the second batch of a step, the first of an epoch, and late."""
    line = of_files(tree, workers)
    assert run(tmp_path, line, (STEP, step), KILL) == -KILL
    assert run(tmp_path, line) == 0
    assert "going on after" in said(tmp_path)
    assert equal(unbroken_of_files, state_of(tmp_path))
