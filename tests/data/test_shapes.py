"""The generated set of shapes: boxes, labels and masks say what the pixels show."""

import pytest
import torch
from torch import Tensor

from senet_train.data import shapes as drawn
from senet_train.data.scenes import Scene
from senet_train.data.shapes import CLASS_NAMES, shapes

SCENES = shapes(60, seed=0)
EACH = [(scene, i) for scene in SCENES for i in range(len(scene.labels))]


def tensors(scene: Scene) -> list[Tensor]:
    return [scene.pixels, scene.boxes, scene.labels, scene.masks]


def same(first: Scene, second: Scene) -> bool:
    return all(map(torch.equal, tensors(first), tensors(second)))


def test_form() -> None:
    for scene in SCENES:
        num_shapes = len(scene.labels)
        assert 1 <= num_shapes <= 4
        assert (scene.pixels.shape, scene.pixels.dtype) == ((64, 64, 3), torch.uint8)
        assert (scene.boxes.shape, scene.boxes.dtype) == ((num_shapes, 4), torch.float32)
        assert (scene.labels.shape, scene.labels.dtype) == ((num_shapes,), torch.int64)
        assert (scene.masks.shape, scene.masks.dtype) == ((num_shapes, 64, 64), torch.bool)


def test_every_number_of_every_shape() -> None:
    assert {len(scene.labels) for scene in SCENES} == {1, 2, 3, 4}
    counts = torch.bincount(torch.cat([scene.labels for scene in SCENES])).tolist()
    assert len(counts) == 1 + len(CLASS_NAMES)
    assert counts[0] == 0
    assert min(counts[1:]) > sum(counts) / 5


def test_boxes_are_tight() -> None:
    """Nothing of a mask is outside its box, and every side of the box is touched."""
    for scene, i in EACH:
        mask = scene.masks[i]
        left, top, right, bottom = scene.boxes[i].int().tolist()
        inside = mask[top:bottom, left:right]
        assert inside.sum() == mask.sum() >= drawn.MIN_VISIBLE
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_masks_are_what_the_pixels_show() -> None:
    for scene in SCENES:
        anything = scene.masks.any(0)
        assert torch.equal(scene.masks.sum(0), anything.long()), "no pixel is in two"
        assert scene.pixels[~anything].max() < drawn.NOISE
        for mask in scene.masks:
            [colour] = scene.pixels[mask].unique(dim=0)
            assert colour.max() >= drawn.MIN_COLOUR > drawn.NOISE
        assert torch.equal(scene.classes() > 0, anything)
        for mask, label in zip(scene.masks, scene.labels, strict=True):
            assert (scene.classes()[mask] == label).all()


# The part of its box that a whole shape fills: 1, pi / 4 and 1 / 2, but for pixels on its edge.
FILLED = {"rectangle": (1.0, 1.0), "ellipse": (0.72, 0.85), "triangle": (0.48, 0.6)}


@pytest.mark.parametrize("name", FILLED)
def test_labels_are_right(name: str) -> None:
    """By what a shape fills of its box: those that stand alone, so that nothing covers them."""
    alone = [scene for scene in shapes(400, seed=1) if len(scene.labels) == 1]
    named = [scene for scene in alone if CLASS_NAMES[scene.labels[0] - 1] == name]
    assert len(named) > 15
    low, high = FILLED[name]
    for scene in named:
        left, top, right, bottom = scene.boxes[0].tolist()
        assert low <= scene.masks.sum() / ((right - left) * (bottom - top)) <= high


def test_deterministic_and_seeded() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    again = shapes(8, seed=0)
    assert torch.equal(torch.rand(2), expected), "the global generator is left alone"
    assert all(map(same, again, SCENES))
    assert not any(map(same, shapes(8, seed=2), SCENES))
    assert len({tuple(scene.boxes[0].tolist()) for scene in SCENES}) > 50
