"""What the processes of one run share, and what they need not tell each other."""

import errno
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from processes.dying import run
from processes.outcome import LINE, state_of
from processes.two import run_two
from support import run_folders, weights_in

from senet_train.errors import HeldError
from senet_train.keyed import keyed_permutation
from senet_train.training.callbacks.averaging import Averaging
from senet_train.training.distributed.world import world

RUN = tuple(word for word in LINE if not word.startswith(("data.batch", "data.val")))
# At a larger rate rounding grows, between two kernels of one process too.
RUN += ("optim.lr=0.0001", "trainer.ema_decay=0.5", "trainer.kernel=composed")
NUM_TEST, EPOCHS = 20, 2
# Batch size, validation images of the 60; batches of the two processes in validation and test.
SHARES = {
    "not as many batches": (8, 18, (2, 1), (2, 1)),
    "no batch for the second": (16, 6, (1, 0), (1, 1)),
}


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


def noting_images(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def evaluate(learner: Any, batch: Any, part: str) -> Any:
        note("evaluated", [part, learner.progress.epoch, batch[2].tolist()])
        return function(learner, batch, part)

    return evaluate


def digest_of(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def noting_weights(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def on_validation_end(checkpoints: Any, trainer: Any, learner: Any) -> Any:
        [averaging] = [c for c in trainer.callbacks if isinstance(c, Averaging)]
        averages = averaging._average_model.module.state_dict()
        note("weights", [digest_of(learner.state_dict()), digest_of(averages)])
        return function(checkpoints, trainer, learner)

    return on_validation_end


def drawing_slowly(function: Callable[..., Any]) -> Callable[..., Any]:
    """What rank 0 does when its record is written."""

    @wraps(function)
    def draw_pictures(draw: Any) -> None:
        time.sleep(0.3)
        function(draw)
        note("drawn", True)

    return draw_pictures


def noting_what_is_done(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def destroy_process_group() -> None:
        note("left", [file.name for file in Path().glob("drawn*")])
        function()

    return destroy_process_group


CHANGED = {
    "senet_train.training.run:draw_pictures": drawing_slowly,
    "torch.distributed:destroy_process_group": noting_what_is_done,
    "senet_train.training.callbacks.checkpoints:Checkpoints.on_validation_end": noting_weights,
    "torch.nn.parallel:DistributedDataParallel._sync_buffers": noting_broadcasts,
    "senet_train.training.tasks.classification:ImageClassifier.evaluate": noting_images,
}


@pytest.fixture(scope="module", params=SHARES)
def shares(request: pytest.FixtureRequest) -> tuple[Any, ...]:
    return SHARES[request.param]


@pytest.fixture(scope="module")
def line(shares: tuple[Any, ...]) -> list[str]:
    size, validation, *_ = shares
    return [*RUN, f"data.batch_size={size}", f"data.val_fraction={validation / 60}"]


@pytest.fixture(scope="module")
def two(line: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes."""
    folder = tmp_path_factory.mktemp("two")
    codes = run_two(folder, line, CHANGED)
    assert codes == [0, 0], [(folder / f"output{rank}.txt").read_text() for rank in (0, 1)]
    return folder


def test_no_buffers_are_broadcast(two: Path) -> None:
    """Every process computes the same running statistics."""
    assert noted(two, "broadcasts", 0) == noted(two, "broadcasts", 1) == []


def test_every_image_is_evaluated_once_in_whole_batches(two: Path, shares: tuple[Any, ...]) -> None:
    size, num_val, *batches_of = shares
    parts = [("val", 0, num_val), ("val", 1, num_val), ("test", 2, NUM_TEST)]
    for part, epoch, num_images in parts:
        batches = [
            [images for *where, images in noted(two, "evaluated", rank) if where == [part, epoch]]
            for rank in (0, 1)
        ]
        assert tuple(map(len, batches)) == batches_of[part == "test"]
        whole = keyed_permutation(num_images, "evaluation").split(size)
        assert [*batches[0], *batches[1]] == [
            batch.tolist() for rank in (0, 1) for batch in whole[rank::2]
        ]
        seen = sorted(number for batch in batches[0] + batches[1] for number in batch)
        assert seen == list(range(num_images))


def test_it_comes_to_what_one_process_comes_to(two: Path, line: list[str], tmp_path: Path) -> None:
    """Metrics, best epoch, record, predictions, checkpoints."""
    assert run(tmp_path, line) == 0
    ours, theirs = state_of(two), state_of(tmp_path)
    for state in (ours, theirs):
        del state["record"]["config"]["trainer"]["devices"]
    for one, other in zip(ours.pop("metrics"), theirs.pop("metrics"), strict=True):
        assert {k: float(v) for k, v in one.items()} == pytest.approx(
            {k: float(v) for k, v in other.items()}, rel=1e-5
        )
    for name, values in ours.pop("predictions").items():
        other = theirs["predictions"][name]
        if name.startswith("probability"):
            assert values == pytest.approx(other, abs=1e-3)
        else:
            assert values.tolist() == other.tolist(), name
    metrics = [state["record"].pop("metrics") for state in (ours, theirs)]
    names, numbers = zip(*(flat(each) for each in metrics), strict=True)
    assert names[0] == names[1]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)
    assert theirs["record"] == ours["record"]
    torch.testing.assert_close(ours["best"], theirs["best"], rtol=1e-4, atol=1e-6)
    assert files_of(two) == files_of(tmp_path)


def flat(metrics: Any) -> tuple[list[str], list[float]]:
    """The names of nested numbers, and the numbers; a word is a part of its name."""
    found = dict(numbers_in(metrics))
    words = [f"{name}={value}" for name, value in found.items() if isinstance(value, str)]
    numbers = {name: value for name, value in found.items() if not isinstance(value, str)}
    return [*words, *numbers], [*numbers.values()]


def numbers_in(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict):
        yield path, tree
        return
    for name, inside in tree.items():
        yield from numbers_in(inside, f"{path}.{name}")


def files_of(base: Path) -> list[str]:
    """What lies in the only run folder; the names of events go on with a time."""
    [folder] = run_folders(base)
    return sorted(file.name.partition(".tfevents.")[0] for file in folder.rglob("*"))


def test_every_process_has_the_same_weights_and_averages(two: Path) -> None:
    first, second = (noted(two, "weights", rank) for rank in (0, 1))
    assert first == second
    assert len({digest for digests in first for digest in digests}) == 2 * EPOCHS  # they move


def test_no_process_leaves_before_rank_0_is_done(two: Path) -> None:
    """It measures latency, writes and draws: NCCL reports errors to it where others have gone."""
    assert [noted(two, "left", rank) for rank in (0, 1)] == [[["drawn0.jsonl"]]] * 2


def held(function: Callable[..., Any]) -> Callable[..., Any]:
    def file_lock(*arguments: Any, **named: Any) -> Any:
        raise HeldError("another process trains this run")

    return file_lock


def full_disk(function: Callable[..., Any]) -> Callable[..., Any]:
    def write_record(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    return write_record


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "exit_code"), [("file_lock", held, 4), ("write_record", full_disk, 1)]
)
def test_a_process_without_rank_0_says_so_in_a_line(
    tmp_path: Path, name: str, change: Callable[..., Any], exit_code: int
) -> None:
    """At once, before training and behind it."""
    codes = run_two(tmp_path, LINE, {f"senet_train.training.run:{name}": change})
    assert codes == [exit_code, 1]
    [line] = (tmp_path / "output1.txt").read_text().splitlines()
    assert line.startswith("process 1: error: one of the 2 processes of this run is gone: ")


@pytest.mark.slow
def test_a_frozen_backbone_is_that_of_one_process(tmp_path: Path) -> None:
    """Its parameters get no gradient, and its BatchNorms share nothing."""
    frozen = [*LINE, "optim.frozen=backbone", "optim.lr=0.01", "trainer.kernel=composed"]
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert run(one, frozen) == 0
    assert run_two(two, frozen) == [0, 0]
    ours, theirs = (weights_in(*run_folders(folder)) for folder in (two, one))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
