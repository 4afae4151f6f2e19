"""Split the training images into a training and a validation part, class by class."""

import torch
from torch import Tensor

from senet_train.keyed import keyed_permutation


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (train, validation), both sorted; a `fraction` of every class is validation.

    A class of at least two images gives at least one to each part. The split is a pure function
    of (seed, class, number of images in the class).
    """
    train, validation = [], []
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        order = members[keyed_permutation(len(members), "split", seed, label)]
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        validation.append(order[:count])
        train.append(order[count:])
    return torch.cat(train).sort().values, torch.cat(validation).sort().values
