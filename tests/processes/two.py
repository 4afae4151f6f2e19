"""One run in two forked processes, each of which may be changed to write down what it does."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from processes.dying import SERVER, child

from senet_train.training.distributed.world import STORE, World, world

Changes = Mapping[str, Callable[..., Any]]


def run_two(folder: Path, argv: Sequence[str], changed: Changes | None = None) -> list[int | None]:
    """The exit codes of both ranks; what they print goes to `output0.txt` and `output1.txt`.

    Each of `changed` is replaced by what its function makes of it, on both.
    """
    with tempfile.TemporaryDirectory() as store:
        arguments = [
            (rank, Path(store) / "store", folder, [*argv, "trainer.devices=2"], changed or {})
            for rank in (0, 1)
        ]
        processes = [SERVER.Process(target=member, args=each) for each in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        for process in processes:
            process.kill()
    return [process.exitcode for process in processes]


def member(rank: int, store: Path, folder: Path, argv: list[str], changed: Changes) -> None:
    """What one of the two does."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update({STORE: str(store), "GLOO_SOCKET_IFNAME": "lo"})
    assert world() == World(rank, 2, rank, 2)
    printed = folder / f"output{rank}.txt"
    child(folder, argv, changed, 1, printed, printed)
