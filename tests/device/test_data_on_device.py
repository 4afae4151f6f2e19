"""Data lie on the device where they fit, and are there, to the bit, what they are on a CPU."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from device.pretended_gpu import Counts, Pretended, device, pretended_gpu
from device.pretended_run import Run, train
from device.test_pretended_gpu import ONE, SMALL, TWO, keeps_its_promises
from support import DATA, draw_tree, open_tree
from torch import Tensor
from torch.utils._pytree import tree_leaves

from senet_train.config.schema import Data
from senet_train.data import placement
from senet_train.data.augment import Augment, constants, draw_table
from senet_train.data.images import Images, MemoryImages
from senet_train.data.loaders import Batch, EvaluationBatches, Splits, TrainingBatches
from senet_train.data.placement import fits
from senet_train.data.scenes import SceneImages
from senet_train.data.shapes import shapes

HOST = torch.device("cpu")
MIRRORED = dataclasses.replace(DATA, crop="none", padding=0, cutout=0)  # what scenes can follow
GPU = ("attention=se", "model=resnet8", "ratio=4")


def memory(number: int = 24) -> MemoryImages:
    pixels = torch.randint(0, 256, (number, 8, 8, 3), dtype=torch.uint8)
    return MemoryImages(pixels, torch.arange(number) % 3, [str(i) for i in range(number)])


def scenes() -> SceneImages:
    return SceneImages.of(shapes(16, seed=3), [""] * 16)


def files(folder: Path) -> Images:
    draw_tree(folder / "tree")
    return open_tree(folder / "tree").load()[0]


KINDS = {
    "in memory": (memory, DATA),
    "scenes": (scenes, MIRRORED),
    "files": (files, DATA),
    "files, cropped as they are read": (files, dataclasses.replace(DATA, crop="resized")),
}


def images_of(kind: str, folder: Path) -> tuple[Images, Data]:
    make, data = KINDS[kind]
    return (make(folder) if make is files else make()), data


def numbers(batches: list[Batch]) -> list[Tensor]:
    """Every tensor of every batch, on the host."""
    leaves = tree_leaves(batches)
    return [leaf.held if isinstance(leaf, Pretended) else leaf for leaf in leaves]


def epoch(images: Images, data: Data, place: torch.device) -> list[Batch]:
    return list(TrainingBatches(images, data, seed=5, epoch=2, device=place))


@pytest.mark.parametrize("on_device", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_is_the_same_everywhere(kind: str, on_device: bool, tmp_path: Path) -> None:
    """Order, crops, mirrors, squares, numbers and targets; from the device or on the way to it."""
    images, data = images_of(kind, tmp_path)
    expected = epoch(images, data, HOST)
    with pretended_gpu() as begin:
        held = images.on(device()) if on_device else images
        counts = begin()
        found = epoch(held, data, device())
        for seen, targets, indices in found:
            assert all(isinstance(tensor, Pretended) for tensor in tree_leaves((seen, targets)))
            assert not isinstance(indices, Pretended)
    assert not counts.waits
    assert not counts.mixed
    assert len(expected) > 1
    same = [torch.equal(*pair) for pair in zip(numbers(found), numbers(expected), strict=True)]
    assert all(same)
    other = epoch(images, dataclasses.replace(data, flip=False), HOST)
    assert not all(map(torch.equal, numbers(found), numbers(other)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluation_is_the_same_everywhere(kind: str, tmp_path: Path) -> None:
    images, data = images_of(kind, tmp_path)
    expected = list(EvaluationBatches(images, data))
    with pretended_gpu() as begin:
        held = images.on(device())
        counts = begin()
        found = list(EvaluationBatches(held, data, device=device()))
    assert not counts.waits
    assert not counts.mixed
    assert all(map(torch.equal, numbers(found), numbers(expected)))


def test_only_order_and_draws_are_moved_in_an_epoch() -> None:
    """Once, whatever the number of batches; files move each batch and its labels."""

    def copies(images: Images) -> int:
        with pretended_gpu() as begin:
            held = images.on(device())
            epoch(held, DATA, device())  # mean and standard deviation are moved, once
            counts: Counts = begin()
            assert len(epoch(held, DATA, device())) == 3
        return counts.copies.total()

    assert copies(memory()) == copies(memory(27)) == 2


@pytest.mark.parametrize(("padding", "cutout"), [(0, 0), (4, 0), (0, 5), (2, 3)])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_augmented_pixels_are_those_of_the_cpu(
    padding: int, cutout: int, flip: bool, mode: str
) -> None:
    pixels = torch.randint(0, 256, (40, 9, 11, 3), dtype=torch.uint8)
    draws, augment = draw_table(40, seed=3, epoch=1), Augment(padding, flip, cutout, mode)
    with pretended_gpu() as begin:
        counts = begin()
        found = augment(Pretended(pixels), Pretended(draws))
    assert isinstance(found, Pretended)
    assert torch.equal(found.held, augment(pixels, draws))
    assert not counts.waits
    assert not counts.mixed


def test_a_quarter_of_the_free_memory_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda place: 4000)
    splits = Splits(memory(2), memory(2), memory(1))  # 192 bytes each
    assert sum(part.num_bytes for part in (splits.train, splits.validation, splits.test)) == 960
    with pretended_gpu():
        held = splits.on(device())
        assert isinstance(held.test, MemoryImages)
        assert held.test.device == device()
        larger = Splits(memory(2), memory(2), memory(2)).on(device())
        assert larger.test.device == HOST
    assert fits(1000, device())
    assert not fits(1001, device())
    assert fits(10**15, HOST)


def moved(run: Run) -> dict[str, Any]:
    """The copies in a training, by what was moved."""
    return dict(run.parts.of("copies", "training"))


def test_a_training_on_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is moved from pinned memory, with its labels; order and draws once an epoch; mean
    and standard deviation once."""
    monkeypatch.chdir(tmp_path)
    constants.cache_clear()
    draw_tree(tmp_path / "tree")
    tree = ("data=imagenet_subset", f"data.root={tmp_path / 'tree'}", "data.cache=stream")
    replaced = ("data=", "data.num", "data.val", "data.batch")
    small = [word for word in SMALL if not word.startswith(replaced)]
    run = train([*small, *tree, "data.batch_size=16", "data.workers=0", TWO, *GPU])
    keeps_its_promises(run)
    [copies] = moved(run).values()
    batches, epochs = 4, 2
    assert copies == epochs * (2 + 2 * batches) + 2


def test_a_training_on_data_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers as where they fit."""
    monkeypatch.chdir(tmp_path)
    large = train([*SMALL, ONE, *GPU])
    constants.cache_clear()
    small = train([*SMALL, ONE, *GPU], free_bytes=1000)
    keeps_its_promises(small)
    batches = 3
    assert sum(moved(small).values()) == 2 + 2 * batches + 2
    assert sum(moved(large).values()) in (2, 4)
    assert small.checkpoint()["progress"]["history"] == large.checkpoint()["progress"]["history"]
