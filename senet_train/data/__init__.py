"""Data sets: `source(*, options)` finds the data and returns a `Source`."""

from collections.abc import Callable

from senet_train.data.cifar import cifar10, cifar100
from senet_train.data.digits import digits
from senet_train.data.fake import fake
from senet_train.data.imagenet_subset import imagenet_subset
from senet_train.data.images import Source

# What `data.name` may say; further names come from the entry points `senet_train.data`.
SOURCES: dict[str, Callable[..., Source]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "digits": digits,
    "fake": fake,
    "imagenet_subset": imagenet_subset,
}
