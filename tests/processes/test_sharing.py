"""What the processes of one run share, and what they need not tell each other."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from processes.outcome import LINE
from processes.two import run_two

from senet_train.training.distributed.world import world

RUN = (*(word for word in LINE if not word.startswith(("data.batch", "data.val"))),)


def note(kind: str, what: Any) -> None:
    """Add a line to a file of this process, in its working folder."""
    with Path(f"{kind}{world().rank}.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\n")


def noted(folder: Path, kind: str, rank: int) -> list[Any]:
    file = folder / f"{kind}{rank}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def noting_broadcasts(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*arguments: Any) -> Any:
        note("broadcasts", 1)
        return function(*arguments)

    return wrapped


CHANGED = {
    "torch.nn.parallel:DistributedDataParallel._sync_buffers": noting_broadcasts,
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    words = ("data.batch_size=8", "data.val_fraction=0.3", "trainer.ema_decay=0.5")
    codes = run_two(folder, (*RUN, *words), CHANGED)
    assert codes == [0, 0], [(folder / f"output{rank}.txt").read_text() for rank in (0, 1)]
    return folder


def test_no_buffers_are_broadcast(two: Path) -> None:
    """Every process computes the same running statistics."""
    assert noted(two, "broadcasts", 0) == noted(two, "broadcasts", 1) == []
