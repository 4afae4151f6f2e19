"""Class weights and the focal loss, against numpy, scikit-learn and torchvision."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from support import OPTIM
from torchvision.ops import sigmoid_focal_loss
from training.fitting import fit

from senet_train.training.tasks.class_loss import class_loss, class_weights

LABELS = torch.tensor([0] * 20 + [1] * 5 + [2] * 2 + [3])
LOGITS = torch.randn(28, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def optim(**changes: object):
    return dataclasses.replace(OPTIM, **{"label_smoothing": 0.0, **changes})


def test_inverse_weights_are_scikit_learns_but_for_their_mean() -> None:
    found = class_weights(LABELS.bincount(), optim(class_weights="inverse"))
    expected = compute_class_weight("balanced", classes=np.arange(4), y=LABELS.numpy())
    assert found.numpy() == pytest.approx(expected / expected.mean(), rel=1e-6)


def test_effective_weights_are_those_of_the_paper() -> None:
    found = class_weights(
        LABELS.bincount(), optim(class_weights="effective", class_weights_beta=0.9)
    )
    effective = [sum(0.9**j for j in range(n)) for n in (20, 5, 2, 1)]  # a series, not its sum
    expected = 1 / np.array(effective)
    assert found.numpy() == pytest.approx(expected / expected.mean(), rel=1e-6)
    assert found[3] / found[0] < 20  # negative control: less unequal than inverse


def test_a_class_without_images_has_no_weight() -> None:
    for name in ("inverse", "effective"):
        found = class_weights(torch.tensor([10, 0, 5]), optim(class_weights=name))
        assert found[1] == 0
        assert found.mean() == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_weighted_loss_is_a_weighted_mean(smoothing: float) -> None:
    settings = optim(class_weights="inverse", label_smoothing=smoothing)
    weights = class_weights(LABELS.bincount(), settings).double()
    found = class_loss(LOGITS, LABELS, weights, settings)
    p = np.exp(LOGITS.numpy())
    log_p = np.log(p / p.sum(1, keepdims=True))
    w, rows = weights.numpy(), range(len(LABELS))
    of_label = -w[LABELS] * log_p[rows, LABELS]
    of_all = -(w * log_p).mean(1)
    losses = (1 - smoothing) * of_label + smoothing * of_all
    assert float(found) == pytest.approx(losses.sum() / w[LABELS].sum())
    alike = class_loss(LOGITS, LABELS, None, settings)
    assert float(found) != pytest.approx(float(alike), rel=1e-3)
    whole = torch.nn.functional.one_hot(LABELS, 4).double()
    assert float(class_loss(LOGITS, whole, weights, settings)) == pytest.approx(float(found))
    mixed = 0.7 * whole + 0.3 * whole.roll(14, 0)  # each image counts by the shares of its classes
    shares = (1 - smoothing) * mixed.numpy() + smoothing / 4
    expected = -(shares * w * log_p).sum() / (mixed.numpy() * w).sum()
    assert float(class_loss(LOGITS, mixed, weights, settings)) == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_of_two_classes_is_torchvisions(gamma: float) -> None:
    """A softmax over (0, z) is a sigmoid of z."""
    z = (3 * LOGITS[:, 0]).requires_grad_()
    labels = (LABELS > 0).long()
    found = class_loss(torch.stack([z * 0, z], 1), labels, None, optim(focal_gamma=gamma))
    expected = sigmoid_focal_loss(z, labels.double(), alpha=-1, gamma=gamma, reduction="mean")
    assert found.item() == pytest.approx(expected.item())
    ours, theirs = (torch.autograd.grad(loss, z)[0] for loss in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_weighted_focal_loss_by_hand() -> None:
    weights = torch.tensor([0.2, 1.0, 1.3, 1.5], dtype=torch.float64)
    p = np.exp(LOGITS.numpy())
    p = (p / p.sum(1, keepdims=True))[range(28), LABELS]
    w = weights.numpy()[LABELS]
    expected = (-w * (1 - p) ** 2 * np.log(p)).sum() / w.sum()
    found = class_loss(LOGITS, LABELS, weights, optim(focal_gamma=2.0))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_sure_answer_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    class_loss(logits, torch.tensor([0, 0]), None, optim(focal_gamma=gamma)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().sum() > 0


def test_without_them_the_loss_is_torchs_to_the_bit() -> None:
    found = class_loss(LOGITS, LABELS, None, optim(label_smoothing=0.1))
    assert torch.equal(
        found, torch.nn.functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    )


@pytest.mark.parametrize("changes", [{"class_weights": "inverse"}, {"focal_gamma": 2.0}])
def test_a_run_learns_by_it(tmp_path: Path, changes: dict[str, object]) -> None:
    """Of 32 images two classes have 6 and four have 5, so weights differ."""
    plain, *_ = fit(tmp_path / "plain", optim(), max_epochs=1)
    module, *_ = fit(tmp_path / "own", optim(**changes), max_epochs=1)
    first, other = (m.progress.history[0] for m in (plain, module))
    assert first["train_loss"] != other["train_loss"]
    assert first["val_loss"] != other["val_loss"]  # another network, by the same loss
