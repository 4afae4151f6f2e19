"""The loss of unequal classes: weights by the number of training images, and the focal loss.

Shapes: B batch, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.config.schema import Config, Optim
from senet_train.data.mixing import is_mixed
from senet_train.errors import InputError

DEFAULT_BETA = 0.999
LEAST_MISS = 1e-12  # of 1 - p: a power below 1 has no finite slope at 0


def class_weights(counts: Tensor, optim: Optim) -> Tensor:
    """The weight of each class, (K,) float32 with a mean of 1, from its training images (K,).

    `inverse`: 1 / n. `effective`: (1 - beta) / (1 - beta^n), the inverse of the effective number of
    images of Cui et al. (arXiv:1901.05555). A class without images has the weight 0: it has none to
    weigh. Raises KeyError for `none`.
    """
    n, beta = counts.double(), optim.class_weights_beta
    share = {"inverse": 1 / n, "effective": (1 - beta) / (1 - beta**n)}[optim.class_weights]
    share = torch.where(n > 0, share, 0.0)
    return (share * len(share) / share.sum()).float()


def class_loss(logits: Tensor, labels: Tensor, weights: Tensor | None, optim: Optim) -> Tensor:
    """The training loss of logits (B, K) and labels (B,), or shares of classes (B, K), ().

    With weights (K,) it is the weighted mean of the batch, as in torch's cross_entropy: each
    image's loss times the weight of its class, divided by the sum of these weights. None counts all
    images alike. Of a mixed image each class counts by its share.
    """
    if optim.focal_gamma:
        return focal_loss(logits, labels, weights, optim.focal_gamma)
    smoothing = optim.label_smoothing
    if weights is not None and labels.ndim == 2:
        return mixed_loss(logits, labels, weights, smoothing)
    return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)


def mixed_loss(logits: Tensor, shares: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """The weighted mean for shares of classes (B, K), ().

    torch's own divides it by the number of images and not by the weights: a batch of common classes
    would count for less than unmixed.
    """
    smooth = shares * (1 - smoothing) + smoothing / shares.shape[1]
    losses = -(smooth * weights * logits.log_softmax(1)).sum()
    return losses / (shares * weights).sum()


def focal_loss(logits: Tensor, labels: Tensor, weights: Tensor | None, gamma: float) -> Tensor:
    """The mean of -(1 - p)^gamma log p, p being the probability of the right class, ().

    Lin et al., arXiv:1708.02002, with a softmax in place of their sigmoids. `weights` are their
    alpha; the mean is then weighted, as in `class_loss`.
    """
    log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]  # (B, K) -> (B,)
    missed = (-torch.expm1(log_p)).clamp_min(LEAST_MISS)
    losses = -(missed**gamma) * log_p
    if weights is None:
        return losses.mean()
    return (losses * weights[labels]).sum() / weights[labels].sum()


def refuse_loss(config: Config) -> None:
    """Raises InputError for settings of the loss that contradict each other."""
    optim = config.optim
    if optim.focal_gamma and is_mixed(config.data):
        raise InputError(
            f"optim.focal_gamma={optim.focal_gamma} with data.mixup or data.cutmix: the focal loss "
            "is of images of one class, choose one of the two"
        )
    if optim.focal_gamma and optim.label_smoothing:
        raise InputError(
            f"optim.focal_gamma={optim.focal_gamma} with optim.label_smoothing="
            f"{optim.label_smoothing}: the focal loss is of labels that are not smoothed, choose "
            "optim.label_smoothing=0.0"
        )
    if optim.class_weights != "effective" and optim.class_weights_beta != DEFAULT_BETA:
        raise InputError(
            f"optim.class_weights_beta={optim.class_weights_beta} changes nothing with "
            f"optim.class_weights={optim.class_weights}: choose optim.class_weights=effective, or "
            "leave it out"
        )
    if optim.class_weights != "none" and config.trainer.devices > 1:
        raise InputError(
            f"optim.class_weights={optim.class_weights} with trainer.devices="
            f"{config.trainer.devices}: each process would divide by the weights of its own "
            "images, choose trainer.devices=1"
        )
