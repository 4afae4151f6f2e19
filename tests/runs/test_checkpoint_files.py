"""A checkpoint that was not written whole replaces nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from senet_train.runs import checkpoint_files
from senet_train.runs.checkpoint_files import (
    DamagedCheckpoint,
    previous,
    read_back,  # the real one: the other tests go without
    read_checkpoint,
    write_checkpoint,
)


@pytest.fixture
def half_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk says that all was well, and keeps the first half of what is written."""
    save: Callable[..., None] = torch.save

    def half(content: Any, file: Any) -> None:
        save(content, file)
        file.truncate(file.tell() // 2)

    monkeypatch.setattr(torch, "save", half)


def test_half_a_file_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    first, second, third = ({"step": step, "weights": torch.ones(1000)} for step in (1, 2, 3))
    path = tmp_path / "last.ckpt"
    for checkpoint in (first, second):
        write_checkpoint(checkpoint, path)
    request.getfixturevalue("half_is_lost")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "read_back", read_back)
        with pytest.raises(OSError, match=r"last\.ckpt could not be written whole"):
            write_checkpoint(third, path)
    assert [read_checkpoint(each)["step"] for each in (path, previous(path))] == [2, 1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", "last.previous.ckpt"]
    write_checkpoint(third, path)  # the control
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(path)
