"""Words that every message shares."""

import pytest

from senet_train.compare.shared import PARTS, said_of
from senet_train.errors import counted
from senet_train.runs.checkpoint_files import how_far


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1000, "1,000 runs")]
)
def test_one_is_singular(number: int, words: str) -> None:
    assert counted(number, "run") == words


@pytest.mark.parametrize(
    ("epoch", "batch", "words"),
    [
        (0, 1, "after 0 epochs and 1 batch"),
        (1, 0, "after 1 epoch and 0 batches"),
        (12, 34, "after 12 epochs and 34 batches"),
    ],
)
def test_how_far_a_checkpoint_is(epoch: int, batch: int, words: str) -> None:
    assert how_far({"progress": {"epoch": epoch, "batch": batch}}) == words


def test_a_recipe_of_one_epoch() -> None:
    recipe = PARTS["recipe"][1]
    assert said_of("1", recipe["trainer.max_epochs"]) == "1 epoch"
    assert said_of("10", recipe["trainer.max_epochs"]) == "10 epochs"
    assert said_of("1", recipe["trainer.patience"]) == "patience of 1 epoch"
    assert said_of("1", recipe["data.batch_size"]) == "batch 1"
