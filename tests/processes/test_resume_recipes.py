"""Killed anywhere, a run with AdamW, several batches a step and an average ends the same."""

from pathlib import Path
from typing import Any

import pytest
from processes.dying import AFTER_STEP, KILL, STEP, VALIDATION, run
from processes.outcome import EVERY_STEP, LINE, equal, said, state_of

# 6 batches an epoch, in 3 steps of 2.
RECIPE = (*LINE, "optim=adamw", "optim.accumulate=2", "optim.layer_decay=0.8", EVERY_STEP)
AVERAGED = (*RECIPE, "trainer.ema_decay=0.8")

# Where it is killed, and how far it then was: a checkpoint is made between two steps.
PLACES = {
    "in the second batch of a step": ((STEP, 3), "0 epochs and 2 batches"),
    "between two batches of a step": ((AFTER_STEP, 8), "1 epochs and 2 batches"),
    "in the first batch of a step": ((STEP, 8), "1 epochs and 2 batches"),
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
