"""Every operation of RandAugment and TrivialAugment: torchvision's pixels, alone and in a batch."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from senet_train.data.geometry import MATRICES, source_grid
from senet_train.data.randaugment import NAMES, OPERATIONS, of_randaugment, of_trivial_augment

SMOOTH = v2.InterpolationMode.BILINEAR
# Ours -> the class of torchvision's that has these magnitudes.
THEIRS = {of_randaugment: v2.RandAugment, of_trivial_augment: v2.TrivialAugmentWide}
SIZES = [(32, 32), (24, 40), (17, 16), (1, 5), (33, 7)]


def pictures(height: int, width: int) -> Tensor:
    """Noise, a ramp, one grey and two greys, (4, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    ramp = (2 * torch.arange(height)[:, None] + torch.arange(width)).clamp(max=255)
    flat = torch.full((height, width), 90)
    two = 40 + 100 * (torch.arange(width) % 2).expand(height, width)
    rest = [each.to(torch.uint8).expand(3, height, width) for each in (ramp, flat, two)]
    return torch.stack([noise, *rest])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("magnitudes", THEIRS)
def test_every_operation_at_every_magnitude(magnitudes, size: tuple[int, int]) -> None:  # type: ignore
    """Their own method of applying one is asked, which is private: only here."""
    theirs = THEIRS[magnitudes](interpolation=SMOOTH)
    assert tuple(theirs._AUGMENTATION_SPACE) == NAMES
    images, changed = pictures(*size), set()
    for name in NAMES:
        for magnitude in magnitudes(*size).get(name, [0.0]):
            for signed in (
                (magnitude, -magnitude) if theirs._AUGMENTATION_SPACE[name][1] else (magnitude,)
            ):
                expected = theirs._apply_image_or_video_transform(
                    images, name, signed, interpolation=SMOOTH, fill=theirs._fill
                )
                found = OPERATIONS[name](images, signed)
                assert torch.equal(found, expected), (name, signed)
                alone = torch.stack([OPERATIONS[name](image, signed) for image in images])
                assert torch.equal(alone, expected), (name, signed)
                if not torch.equal(found, images):
                    changed.add(name)
    assert len(changed) > len(NAMES) / 2


@pytest.mark.parametrize("magnitudes", THEIRS)
def test_the_magnitudes_are_theirs(magnitudes) -> None:  # type: ignore
    space = THEIRS[magnitudes]()._AUGMENTATION_SPACE
    theirs = {name: function(31, 24, 40) for name, (function, _) in space.items()}
    found = {name: values.tolist() for name, values in theirs.items() if values is not None}
    assert magnitudes(24, 40) == found


@pytest.mark.parametrize("name", MATRICES)
def test_a_kept_grid_is_of_its_size_and_magnitude(name: str) -> None:
    first = source_grid(name, 0.25, 20, 30)
    assert source_grid(name, 0.25, 20, 30) is first
    for other in ((-0.25, 20, 30), (0.25, 30, 20), (0.25, 20, 31)):
        assert not torch.equal(source_grid(name, *other).flatten()[:900], first.flatten()[:900])


def test_a_grid_that_was_made_in_an_evaluation_can_be_used_in_training() -> None:
    images = torch.zeros(3, 21, 22, dtype=torch.uint8)
    with torch.inference_mode():
        OPERATIONS["Rotate"](images, 12.0)
    assert not source_grid("Rotate", 12.0, 21, 22).is_inference()
