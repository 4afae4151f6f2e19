"""`data.augment`: torchvision's augmentations, each image under the key (seed, epoch, index).

They see an image when it is read: behind the random crop of files, and before the shift, the flip
and the cutout of `augment.py`. In memory or from files, in whatever process, a key gives the same
pixels. Where torchvision draws once for a batch, here every image draws for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.transforms import v2

from senet_train.config.options import bind
from senet_train.config.schema import Choice, Count, Data, NotNegative
from senet_train.data.randaugment import RandomOperations, of_randaugment, of_trivial_augment
from senet_train.errors import InputError
from senet_train.keyed import forked_random, keyed_generator

Transform = Callable[[Tensor], Tensor]  # (3, H, W) uint8 -> (3, H, W) uint8
Key = tuple[int | str, ...]
Probability = Annotated[float, Field(ge=0, le=1)]
Magnitude = Annotated[int, Field(ge=0, le=30)]
SMOOTH = v2.InterpolationMode.BILINEAR
PLUGINS = "senet_train.augmentation"


def randaugment(data: Data, *, num_ops: Count = 2, magnitude: Magnitude = 9) -> Transform:
    """`num_ops` of 14 operations, all of one `magnitude`. https://arxiv.org/abs/1909.13719."""
    return RandomOperations(num_ops, magnitude, of_randaugment)


def trivial(data: Data) -> Transform:
    """One of 14 operations, of any magnitude. https://arxiv.org/abs/2103.10158."""
    return RandomOperations(1, "any", of_trivial_augment)


def augmix(
    data: Data, *, severity: Annotated[int, Field(ge=1, le=10)] = 3, width: Count = 3
) -> nn.Module:
    """A mean of the image and of `width` chains of operations. https://arxiv.org/abs/1912.02781."""
    return v2.AugMix(severity, width, interpolation=SMOOTH)


def color_jitter(
    data: Data,
    *,
    brightness: NotNegative = 0.4,
    contrast: NotNegative = 0.4,
    saturation: NotNegative = 0.4,
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0,
) -> nn.Module:
    """Each by a factor from 1 - x (at least 0) to 1 + x; `hue` is a part of the colour wheel."""
    return v2.ColorJitter(brightness, contrast, saturation, hue)


def rotation(data: Data, *, degrees: Annotated[float, Field(gt=0, le=180)] = 15.0) -> nn.Module:
    """By an angle from -`degrees` to `degrees`; what comes in at the corners is black."""
    return v2.RandomRotation(degrees, SMOOTH)


def vertical_flip(data: Data, *, probability: Probability = 0.5) -> nn.Module:
    """Upside down."""
    return v2.RandomVerticalFlip(probability)


def random_erasing(data: Data, *, probability: Probability = 0.1) -> nn.Module:
    """A rectangle of 2 to 33 % of the area becomes `data.mean`. https://arxiv.org/abs/1708.04896."""
    return v2.RandomErasing(probability, value=[round(255 * mean) for mean in data.mean])


# What an entry of `data.augment` may name; further names are entry points of PLUGINS.
POLICIES: dict[str, Callable[..., Transform]] = {
    "augmix": augmix,
    "color_jitter": color_jitter,
    "randaugment": randaugment,
    "random_erasing": random_erasing,
    "rotation": rotation,
    "trivial": trivial,
    "vertical_flip": vertical_flip,
}
# Names for several entries, as in torchvision's second recipe: nothing in them has to be tuned.
BUNDLES = {"strong": (Choice("trivial"), Choice("random_erasing"))}


@dataclass(frozen=True)
class Policies:
    """What is done to each training image, one after the other; nothing where it is empty."""

    transforms: tuple[Transform, ...] = ()

    def __call__(self, pixels: Tensor, key: Key) -> Tensor:
        """(H, W, 3) uint8 -> (H, W, 3) uint8, drawn under the key."""
        if not self.transforms:
            return pixels
        with forked_random("augment", *key):
            planes = pixels.permute(2, 0, 1).contiguous()  # see `augmented`
            for transform in self.transforms:
                planes = transform(planes)
        return torch.stack(planes.unbind(0), -1)  # half the time of `permute` and `contiguous`


NOTHING = Policies()


def resolve_augment(data: Data) -> Data:
    """`none` -> no crop, flip and cutout; a list -> every entry with all its options.

    Raises InputError for an unknown name or option.
    """
    if data.augment == "none":
        return replace(data, crop="none", flip=False, cutout=0, augment="standard")
    if data.augment == "standard":
        return data
    if not data.augment:
        raise InputError(
            "data.augment=[] names nothing: choose data.augment=standard, none, or name some"
        )
    checked = [bound(choice)[1] for choice in data.augment]
    every = [one for choice in checked for one in BUNDLES.get(choice.name, (choice,))]
    return replace(data, augment=[bound(choice)[1] for choice in every])


def policies_of(data: Data) -> Policies:
    """What a resolved `data.augment` does to an image."""
    if data.augment in ("none", "standard"):
        return NOTHING
    assert not isinstance(data.augment, str)
    return Policies(tuple(bound(choice)[0](data) for choice in data.augment))


def bound(choice: Choice) -> tuple[Callable[[Data], Transform], Choice]:
    """The constructor of an entry with its options, and the entry with all of them."""
    known = {**POLICIES, **dict.fromkeys(BUNDLES, trivial)}  # named in a message
    return bind(choice, known, "data.augment", PLUGINS)


def augmented(pixels: Tensor, keys: list[Key], policies: Policies) -> Tensor:
    """Each image of a batch under its own key, (B, H, W, 3) uint8 -> (B, H, W, 3) uint8.

    The pixels are those of each image alone, to the bit. torchvision's operations take whole planes
    in memory: at 128 px AutoContrast takes 0.08 ms of them, and 0.5 ms of channels last.
    """
    states = [keyed_generator("augment", *key).get_state() for key in keys]
    planes = pixels.permute(0, 3, 1, 2).contiguous()
    for transform in policies.transforms:
        planes = one_transform(transform, planes, states)
    return torch.stack(planes.unbind(1), -1)


def one_transform(transform: Transform, planes: Tensor, states: list[Tensor]) -> Tensor:
    """Images (B, 3, H, W), each under its state of the generator, which goes on in `states`."""
    if isinstance(transform, RandomOperations):
        return transform.apply(planes, one_by_one(transform.draw, planes, states))
    return torch.stack(one_by_one(transform, planes, states))


def one_by_one(draw: Callable[[Tensor], Any], planes: Tensor, states: list[Tensor]) -> list[Any]:
    """What `draw` gives for each image, under its state of the generator."""
    found = []
    with forked_random():
        for i, image in enumerate(planes):
            torch.default_generator.set_state(states[i])
            found.append(draw(image))
            states[i] = torch.default_generator.get_state()
    return found
