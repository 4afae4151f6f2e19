"""data.sampling=balanced: as many images of each class, by (seed, epoch), exact from any batch."""

import dataclasses
from collections import Counter

import torch
from support import DATA

from senet_train.data.images import MemoryImages
from senet_train.data.loaders import TrainingBatches
from senet_train.data.sampling import balanced

LABELS = torch.tensor([0] * 60 + [1] * 10 + [2] * 3)[
    torch.randperm(73, generator=torch.Generator().manual_seed(0))
]
SETTINGS = dataclasses.replace(DATA, sampling="balanced")


def images() -> MemoryImages:
    """Every image has its number in all of its pixels."""
    pixels = torch.arange(73, dtype=torch.uint8)[:, None, None, None].repeat(1, 8, 8, 3)
    return MemoryImages(pixels, LABELS, [str(i) for i in range(73)])


def test_classes_have_as_many_images_or_one_more() -> None:
    more = Counter()
    for epoch in range(30):
        chosen = balanced(LABELS, seed=0, epoch=epoch)
        counts = LABELS[chosen].bincount()
        assert len(chosen) == 73
        assert sorted(counts.tolist()) == [24, 24, 25]
        more[int(counts.argmax())] += 1
        of_image = chosen.bincount(minlength=73)
        for label in range(3):
            own = of_image[label == LABELS]
            assert own.max() - own.min() <= 1  # none comes again before all came
    assert set(more) == {0, 1, 2}
    assert LABELS.bincount().tolist() == [60, 10, 3]  # negative control: they are unequal


def test_it_depends_on_seed_and_epoch_alone() -> None:
    first = balanced(LABELS, seed=1, epoch=2)
    torch.manual_seed(5)
    assert torch.equal(first, balanced(LABELS, seed=1, epoch=2))
    assert not torch.equal(first, balanced(LABELS, seed=1, epoch=3))
    assert not torch.equal(first, balanced(LABELS, seed=2, epoch=2))
    every = torch.cat([balanced(LABELS, seed=0, epoch=epoch) for epoch in range(12)])
    assert set(every.tolist()) == set(range(73))


def test_batches_are_the_same_from_any_start() -> None:
    whole = list(TrainingBatches(images(), SETTINGS, seed=0, epoch=1))
    later = list(TrainingBatches(images(), SETTINGS, seed=0, epoch=1, start=4))
    assert len(whole) == 73 // 7
    assert len(later) == len(whole) - 4
    for (pixels, labels, _), (again, same, _) in zip(whole[4:], later, strict=True):
        assert torch.equal(pixels, again)
        assert torch.equal(labels, same)


def test_labels_go_with_their_images() -> None:
    plain = dataclasses.replace(SETTINGS, crop="none", flip=False, cutout=0, mean=[0.0] * 3)
    plain = dataclasses.replace(plain, std=[1.0] * 3)
    for pixels, labels, _ in TrainingBatches(images(), plain, seed=0, epoch=0):
        numbers = (255 * pixels[:, 0, 0, 0]).round().long()
        assert torch.equal(LABELS[numbers], labels)


def test_an_image_that_comes_again_is_augmented_anew() -> None:
    seen: dict[int, set[bytes]] = {}
    for pixels, _, _ in TrainingBatches(images(), SETTINGS, seed=0, epoch=0):
        for image in pixels:
            number = int((255 * (image[0].max() * SETTINGS.std[0] + SETTINGS.mean[0])).round())
            seen.setdefault(number, set()).add(image.numpy().tobytes())
    rare = (LABELS == 2).nonzero().flatten().tolist()
    assert all(len(seen[number]) > 4 for number in rare)  # each came 8 times
