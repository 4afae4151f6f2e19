"""Which training images an epoch has: each once, or as many of each class.

Shapes: N training images, K classes.
"""

import torch
from torch import Tensor

from senet_train.data.images import Images
from senet_train.data.scenes import SceneImages
from senet_train.keyed import keyed_permutation


def sampled(images: Images, sampling: str, seed: int, epoch: int) -> Images:
    """The images of an epoch; of `balanced` sampling other ones, as many as there are.

    An image that an epoch has several times is there as several images: each has its own place in
    the order and its own augmentation.
    """
    if sampling == "shuffle" or isinstance(images, SceneImages):
        return images
    return images.take(balanced(images.labels.cpu(), seed, epoch))


def balanced(labels: Tensor, seed: int, epoch: int) -> Tensor:
    """Indices of N images in which every class of the labels (N,) has as many images, or one more.

    A pure function of (labels, seed, epoch). Of a class no image comes again before all of its
    images came, so that each comes as often as the others, or once more. Which classes have one
    image more, and which images of a large class there are, is drawn anew for every epoch.
    """
    classes = labels.unique()
    quota, rest = divmod(len(labels), len(classes))
    larger = set(keyed_permutation(len(classes), "balanced", seed, epoch)[:rest].tolist())
    return torch.cat(
        [
            of_class(labels, label, quota + (place in larger), seed, epoch)
            for place, label in enumerate(classes.tolist())
        ]
    )


def of_class(labels: Tensor, label: int, number: int, seed: int, epoch: int) -> Tensor:
    """Indices of so many images of a class: all of them again and again, then some of them."""
    members = (labels == label).nonzero().flatten()
    order = members[keyed_permutation(len(members), "balanced", seed, epoch, label)]
    return order.repeat(number // len(order) + 1)[:number]
