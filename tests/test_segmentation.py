"""The plain loop that trains a segmenter on shapes, and its mean IoU."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCN, FCNHead

from senet_train import SqueezeExcite, insert_into
from senet_train.data.shapes import shapes
from senet_train.tasks.segmentation import mean_iou, stacked, train

SE = partial(SqueezeExcite, ratio=4)


def small_fcn(*, se: bool) -> nn.Module:
    """The first half of ResNet-18 and a head: the same weights with SE and without."""
    torch.manual_seed(0)
    body = IntermediateLayerGetter(models.resnet18(), {"layer2": "out"})
    model = FCN(body, FCNHead(128, 4))
    if se:
        assert len(insert_into(model, SE)) == 4
    return model


class Guess(nn.Module):
    """Calls every pixel that is bright a rectangle, the others background."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        bright = (images.amax(1) > 0).float()
        zero = torch.zeros_like(bright)
        return {"out": torch.stack([0.5 + zero, bright, zero, zero], 1)}


def test_mean_iou_by_hand() -> None:
    """Each class's intersection and union counted over the pixels of all scenes."""
    scenes = shapes(20, seed=0)  # more than a batch
    images, truth = stacked(scenes)
    guess = torch.where(images.amax(1) > 0, 1, 0)
    expected = 0.0
    for label in range(4):
        both = ((guess == label) & (truth == label)).sum()
        either = ((guess == label) | (truth == label)).sum()
        expected += float(both / either) / 4
    assert mean_iou(Guess(), scenes, 4) == pytest.approx(expected, abs=1e-6)
    assert 0.2 < expected < 0.6


def test_pixels_and_classes_belong_together() -> None:
    scenes = shapes(3, seed=0)
    images, classes = stacked(scenes)
    assert images.shape == (3, 3, 64, 64)
    assert classes.shape == (3, 64, 64)
    assert images.min() >= -1
    assert images.max() <= 1
    background = images.permute(0, 2, 3, 1)[classes == 0]
    assert background.max() < 0  # noise is dark


def test_trained_twice_the_same() -> None:
    scenes = shapes(40, seed=0)
    first, second, other = (small_fcn(se=True) for _ in range(3))
    for model, seed in ((first, 0), (second, 0), (other, 1)):
        torch.rand(1)  # where the global generator stands is no matter
        train(model, scenes, num_epochs=1, seed=seed)
    states = [list(model.state_dict().values()) for model in (first, second, other)]
    assert all(map(torch.equal, states[0], states[1]))
    assert not all(map(torch.equal, states[0], states[2]))


@pytest.mark.slow
@pytest.mark.parametrize("se", [False, True])
def test_it_learns(se: bool) -> None:
    """To call everything background gives a quarter of its IoU, less than 0.25."""
    model = small_fcn(se=se)
    test = shapes(100, seed=1)
    before = mean_iou(model, test, 4)
    train(model, shapes(400, seed=0), num_epochs=4)
    after = mean_iou(model, test, 4)
    print(f"mean IoU {before:.3f} -> {after:.3f}")
    assert before < 0.25
    assert after > 0.5
