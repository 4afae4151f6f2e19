"""Splits, batch augmentation and order: common random numbers, whatever the batches."""

import dataclasses

import pytest
import torch
from support import DATA
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from senet_train.config.schema import Data
from senet_train.data.augment import Augment, Normalise, draw_table, erase_squares
from senet_train.data.digits import digits
from senet_train.data.fake import fake
from senet_train.data.images import MemoryImages
from senet_train.data.loaders import (
    EvaluationBatches,
    TrainingBatches,
    load_splits,
    stratified_split,
)
from senet_train.errors import InputError

SOURCE = fake(image_size=8, num_classes=3, num_images=60, num_test_images=10)


def epoch_of(data: Data = DATA, seed: int = 0, epoch: int = 0) -> dict[int, Tensor]:
    """Image index -> what training saw of it."""
    images = load_splits(SOURCE, data).train
    seen = {}
    for pixels, labels, indices in TrainingBatches(images, data, seed=seed, epoch=epoch):
        assert torch.equal(labels, images.labels[indices])
        seen.update(zip(indices.tolist(), pixels, strict=True))
    return seen


def test_split_is_stratified_disjoint_and_keyed() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 3)
    train, validation = stratified_split(labels, 0.1, 0)
    assert sorted(torch.cat([train, validation]).tolist()) == list(range(73))
    assert labels[validation].bincount().tolist() == [5, 2, 1]
    assert torch.equal(validation, stratified_split(labels, 0.1, 0)[1])
    assert not torch.equal(validation, stratified_split(labels, 0.1, 1)[1])


def test_split_seed_is_apart_from_seed() -> None:
    ids = [list(load_splits(SOURCE, DATA).validation.ids) for _ in range(2)]
    assert ids[0] == ids[1]
    other = dataclasses.replace(DATA, split_seed=1)
    assert list(load_splits(SOURCE, other).validation.ids) != ids[0]


def test_epoch_is_a_function_of_seed_and_epoch() -> None:
    first = list(TrainingBatches(load_splits(SOURCE, DATA).train, DATA, seed=1, epoch=2))
    torch.manual_seed(99)
    again = list(TrainingBatches(load_splits(SOURCE, DATA).train, DATA, seed=1, epoch=2))
    for a, b in zip(first, again, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        images = load_splits(SOURCE, DATA).train
        changed = next(iter(TrainingBatches(images, DATA, **other)))
        assert not torch.equal(changed[2], first[0][2])


def test_draws_do_not_depend_on_the_batch_size() -> None:
    small, large = epoch_of(), epoch_of(dataclasses.replace(DATA, batch_size=24))
    shared = small.keys() & large.keys()
    assert len(shared) > 30
    assert all(torch.equal(small[i], large[i]) for i in shared)


def test_whole_batches_only() -> None:
    """48 training images in batches of 7: 6 are used, 6 images sit out, others next epoch."""
    images = load_splits(SOURCE, DATA).train
    batches = TrainingBatches(images, DATA, seed=0, epoch=0)
    sizes = [len(labels) for _, labels, _ in batches]
    assert sizes == [7] * 6
    assert len(batches) == 6
    assert len(epoch_of()) == 42
    assert epoch_of(epoch=0).keys() != epoch_of(epoch=1).keys()
    huge = dataclasses.replace(DATA, batch_size=1000)
    assert len(epoch_of(huge)) == 48


def augment_one(pixels: Tensor, draws: Tensor, padding: int, flip: bool, cutout: int) -> Tensor:
    """One image the slow way: (H, W, 3)."""
    height, width, _ = pixels.shape
    canvas = torch.zeros(height + 2 * padding, width + 2 * padding, 3, dtype=torch.uint8)
    canvas[padding : padding + height, padding : padding + width] = pixels
    top, left = (int(draws[i] * (2 * padding + 1)) for i in (0, 1))
    out = canvas[top : top + height, left : left + width].clone()
    if flip and draws[2] < 0.5:
        out = out.flip(1)
    if cutout:
        row = int(draws[3] * height) - cutout // 2
        column = int(draws[4] * width) - cutout // 2
        out[max(row, 0) : row + cutout, max(column, 0) : column + cutout] = 0
    return out


@pytest.mark.parametrize(
    ("padding", "flip", "cutout"), [(0, False, 0), (4, True, 0), (1, False, 3), (2, True, 5)]
)
def test_augment_equals_a_loop_over_images(padding: int, flip: bool, cutout: int) -> None:
    pixels = torch.randint(1, 256, (40, 9, 11, 3), dtype=torch.uint8)
    draws = draw_table(40, seed=3, epoch=1)
    batch = Augment(padding, flip, cutout)(pixels, draws)
    slow = [augment_one(p, d, padding, flip, cutout) for p, d in zip(pixels, draws, strict=True)]
    assert torch.equal(batch, torch.stack(slow))
    if padding or flip or cutout:
        assert not torch.equal(batch, pixels)


@pytest.mark.parametrize("padding", [1, 4, 8])
def test_a_reflecting_border_is_torchvisions(padding: int) -> None:
    """Its pad and its crop at the same place, and then its mirror; a border of zeros is another."""
    pixels = torch.randint(1, 256, (40, 9, 11, 3), dtype=torch.uint8)
    draws = draw_table(40, seed=3, epoch=1)
    found = Augment(padding, True, 0, "reflect")(pixels, draws)
    for image, seen, (top, left, flip, *_) in zip(pixels, found, draws.tolist(), strict=True):
        padded = vision.pad(image.permute(2, 0, 1), [padding] * 4, padding_mode="reflect")
        places = (int(place * (2 * padding + 1)) for place in (top, left))
        cut = vision.crop(padded, *places, 9, 11)
        cut = vision.horizontal_flip(cut) if flip < 0.5 else cut
        assert torch.equal(seen, cut.permute(1, 2, 0))
    assert not torch.equal(found, Augment(padding, True, 0)(pixels, draws))


def test_training_reads_the_padding_mode() -> None:
    usual, reflecting = epoch_of(), epoch_of(dataclasses.replace(DATA, padding_mode="reflect"))
    assert usual.keys() == reflecting.keys()
    assert not all(torch.equal(usual[i], reflecting[i]) for i in usual)


def test_erase_cuts_at_the_edges() -> None:
    white = torch.full((2, 6, 6, 3), 255, dtype=torch.uint8)
    corner, middle = erase_squares(white, torch.tensor([[0.0, 0.0], [0.5, 0.5]]), 4)
    assert int((corner[..., 0] == 0).sum()) == 4
    assert int((middle[..., 0] == 0).sum()) == 16


def test_normalise() -> None:
    pixels = torch.randint(0, 256, (5, 4, 6, 3), dtype=torch.uint8)
    result = Normalise((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))(pixels)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    expected = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_sees_every_image_once_unaugmented() -> None:
    splits = load_splits(SOURCE, DATA)
    assert isinstance(splits.test, MemoryImages)
    batches = list(EvaluationBatches(splits.test, DATA))
    assert [len(labels) for _, labels, _ in batches] == [7, 3]
    pixels, labels, indices = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(indices.tolist()) == list(range(10))
    normalise = Normalise(tuple(DATA.mean), tuple(DATA.std))
    assert torch.equal(pixels, normalise(splits.test.pixels)[indices])
    assert torch.equal(labels, splits.test.labels[indices])


@pytest.mark.parametrize("num_images", [1, 3, 4, 29])
@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_processes_share_the_batches_of_an_evaluation(world_size: int, num_images: int) -> None:
    """Whole batches, each once; all processes have as many, and at most the last has no image."""
    pixels = torch.randint(0, 256, (num_images, 8, 8, 3), dtype=torch.uint8)
    images = MemoryImages(pixels, torch.arange(num_images), [""] * num_images)
    data = dataclasses.replace(DATA, batch_size=2)
    whole = list(EvaluationBatches(images, data))
    shares = [
        EvaluationBatches(images, data, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    rounds = list(zip(*shares, strict=True))
    every = [batch for batches in rounds for batch in batches]
    assert len(every) - len(whole) < world_size
    for i, (pixels, labels, indices) in enumerate(every):
        seen = whole[i] if i < len(whole) else (whole[0][0][:0], labels[:0], indices[:0])
        assert all(map(torch.equal, (pixels, labels, indices), seen))
        assert pixels.shape[1:] == whole[0][0].shape[1:]


def test_evaluation_mixes_the_classes() -> None:
    """Class folders come sorted; a batch must not be one class (see the `shuffled` control)."""
    images = MemoryImages(torch.zeros(100, 8, 8, 3), torch.arange(100) // 50, [""] * 100)
    batches = list(EvaluationBatches(images, dataclasses.replace(DATA, batch_size=25)))
    assert all(5 < labels.sum() < 20 for _, labels, _ in batches)
    again = list(EvaluationBatches(images, dataclasses.replace(DATA, batch_size=25)))
    assert all(torch.equal(a[2], b[2]) for a, b in zip(batches, again, strict=True))


def test_digits() -> None:
    source = digits()
    pool, test = source.load()
    assert (len(pool.labels), len(test.labels)) == (1438, 359)
    assert set(pool.ids).isdisjoint(test.ids)
    assert isinstance(pool, MemoryImages)
    assert pool.pixels.shape == (1438, 8, 8, 3)
    assert int(pool.pixels.max()) == 240
    assert source.class_names == tuple("0123456789")


def test_images_are_resized_to_the_size_asked_for() -> None:
    larger = load_splits(SOURCE, dataclasses.replace(DATA, image_size=16)).test
    assert isinstance(larger, MemoryImages)
    assert larger.pixels.shape[1:] == (16, 16, 3)


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="num_images=5 is too few for 3 classes"):
        fake(image_size=8, num_classes=3, num_images=5, num_test_images=10)
