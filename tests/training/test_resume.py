"""A checkpoint is gone on with only if it is a training of ours, and of this very run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import TINY, Senet

from senet_train.runs.checkpoint_files import newest_readable, read_checkpoint

Change = Callable[[dict[str, Any]], Any]


def with_progress(**values: Any) -> Change:
    return lambda saved: {**saved, "progress": {**saved["progress"], **values}}


# Whole files with wrong content.
WRONG: dict[str, Change] = {
    "empty": lambda saved: {},
    "a list": lambda saved: [1, 2],
    "a tensor": lambda saved: torch.zeros(3),
    "weights alone": lambda saved: {"state_dict": saved["state_dict"]},
    "no made_by": lambda saved: {k: v for k, v in saved.items() if k != "made_by"},
    "made_by of numbers": lambda saved: {**saved, "made_by": {"code": 1}},
    "no threads": lambda saved: {k: v for k, v in saved.items() if k != "threads"},
    "too many threads": lambda saved: {**saved, "threads": 100_000},
    "half a thread": lambda saved: {**saved, "threads": 0.5},
    "a negative epoch": with_progress(epoch=-5),
    "an epoch without history": with_progress(epoch=1),
    "a late epoch": with_progress(epoch=10**400),
    "a batch that is text": with_progress(batch="1"),
    "no optimizer": lambda saved: {**saved, "optimizer_states": None},
    "weights of numbers": lambda saved: {**saved, "state_dict": {"a": 1}},
}


@pytest.fixture
def interrupted(finished_run: Path) -> Path:
    """A run of two epochs that was left after its last."""
    (finished_run / "result.json").unlink()
    status = json.loads((finished_run / "status.json").read_text())
    (finished_run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    return finished_run


@pytest.mark.parametrize("name", WRONG)
def test_wrong_content_is_not_gone_on_with(
    interrupted: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The one before it is tried, with a line."""
    last = interrupted / "checkpoints" / "last.ckpt"
    before = last.with_suffix(".previous.ckpt")
    saved = read_checkpoint(last)
    torch.save(saved, before)
    torch.save(WRONG[name](saved), last)
    found = newest_readable(last.parent)
    assert found is not None
    assert found[0] == before
    assert "cannot be read, trying the one before it" in caplog.text


def test_without_another_it_starts_again(interrupted: Path, senet: Senet) -> None:
    torch.save({}, interrupted / "checkpoints" / "last.ckpt")
    result = senet(*TINY)
    assert result.code == 0
    assert "starting again from zero" in result.err


def test_a_checkpoint_of_another_seed_is_refused(interrupted: Path, senet: Senet) -> None:
    interrupted.rename(interrupted.with_name("seed7"))
    result = senet(*TINY, "seed=7")
    assert result.code == 2
    assert "seed was 0 and is 7" in result.err


def test_a_checkpoint_of_another_arm_is_refused(interrupted: Path, senet: Senet) -> None:
    """The learning rate is in the identity, and the identity is in the checkpoint."""
    senet(*TINY, "optim.lr=0.01", "dry_run=true")
    other = interrupted.parent.parent / arm_of(senet, "optim.lr=0.01")
    other.mkdir()
    interrupted.rename(other / "seed0")
    result = senet(*TINY, "optim.lr=0.01")
    assert result.code == 2
    assert "identity was" in result.err


def arm_of(senet: Senet, word: str) -> str:
    """The name of the arm's folder, as a dry run says it."""
    said = senet(*TINY, word, "dry_run=true").err
    return said.partition("dry run: ")[2].split("/")[2]


def test_a_run_that_was_saved_on_a_gpu_is_read_onto_the_cpu(
    interrupted: Path, senet: Senet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of several processes would read it onto the first GPU, and keep room there."""
    last = interrupted / "checkpoints" / "last.ckpt"
    saved = read_checkpoint(last)
    with monkeypatch.context() as on_gpu:
        on_gpu.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        torch.save(saved, last)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="CUDA"):  # where it would go by itself
        torch.load(last, weights_only=True)
    resumed = senet(*TINY)
    assert resumed.code == 0
    assert "going on after" in resumed.err
