"""Several batches a step: the gradient of all of them, what is dropped, and what is told of it."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import OPTIM, TINY, Senet
from torch import Tensor, nn
from torch.nn import functional as F
from training.fitting import PLAIN, fit, images, small_network

from senet_train.data.loaders import TrainingBatches, num_batches
from senet_train.errors import Diverged
from senet_train.keyed import keyed_seed
from senet_train.training.tasks.classification import ImageClassifier

TWO = replace(OPTIM, accumulate=2)
HALF = replace(PLAIN, batch_size=4)


def without_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 6)
    )


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in network.parameters()]


def by_hand(network: nn.Module, accumulate: int, epochs: int) -> list[Tensor]:
    """The weights after a plain loop over the same batches."""
    network = network.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, fused=True)
    for epoch in range(epochs):
        batches = list(TrainingBatches(images(32), HALF, seed=0, epoch=epoch))
        for first in range(0, len(batches) // accumulate * accumulate, accumulate):
            sgd.zero_grad()
            for pixels, labels, _ in batches[first : first + accumulate]:
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                (F.cross_entropy(network(pixels), labels) / accumulate).backward()
            sgd.step()
    return weights(network)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("make", [without_norm, small_network])
def test_the_steps_are_those_of_a_plain_loop(tmp_path: Path, accumulate: int, make: Any) -> None:
    """Of 8 batches 3 a step leave 2: they are dropped, and others are in the next epoch."""
    network = make()
    expected = by_hand(deepcopy(network), accumulate, 2)
    optim = replace(OPTIM, accumulate=accumulate)
    module, _, _ = fit(tmp_path, optim, network.to(memory_format=torch.channels_last), HALF)
    for found, by_us in zip(weights(module.network), expected, strict=True):
        torch.testing.assert_close(found, by_us, rtol=1e-5, atol=1e-7)
    steps = 8 // accumulate
    assert [row["step"] for row in module.progress.history] == [steps, 2 * steps]


@pytest.mark.parametrize(("make", "equal"), [(without_norm, True), (small_network, False)])
def test_two_batches_are_a_batch_of_twice_the_size(tmp_path: Path, make: Any, equal: bool) -> None:
    """But for rounding, and for BatchNorm, which sees one at a time."""
    halves, _, _ = fit(tmp_path / "2", TWO, make(), HALF)
    whole, _, _ = fit(tmp_path / "1", OPTIM, make(), PLAIN)
    close = [
        torch.allclose(a, b, rtol=1e-4, atol=1e-6)
        for a, b in zip(weights(halves.network), weights(whole.network), strict=True)
    ]
    assert all(close) == equal
    assert halves.progress.history[-1]["step"] == whole.progress.history[-1]["step"] == 8


def test_the_means_of_training_are_over_every_batch(tmp_path: Path) -> None:
    """At a rate of almost nothing the loss of each batch is that of the first weights."""
    still = replace(TWO, lr=1e-12, weight_decay=0.0)
    module, _, _ = fit(tmp_path, still, without_norm(), HALF, max_epochs=1)
    batches = list(TrainingBatches(images(32), HALF, seed=0, epoch=0))
    losses = [F.cross_entropy(without_norm()(pixels), labels) for pixels, labels, _ in batches]
    expected = float(torch.stack(losses).detach().mean())
    assert module.progress.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("number", "size", "accumulate", "batches"),
    [(32, 4, 1, 8), (32, 4, 2, 8), (32, 4, 3, 6), (35, 4, 8, 8), (3, 4, 1, 1), (3, 4, 2, 0)],
)
def test_the_last_incomplete_group_is_dropped(
    number: int, size: int, accumulate: int, batches: int
) -> None:
    data = replace(PLAIN, batch_size=size)
    made = TrainingBatches(images(number), data, seed=0, epoch=0, accumulate=accumulate)
    assert num_batches(number, size, accumulate) == len(made) == len(list(made)) == batches


@pytest.mark.parametrize("bad", [0, 1, 4, 5, 7])
def test_a_loss_that_is_not_finite_in_any_batch_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    """The weights are those from before that step, which is the one that is named."""
    compute = ImageClassifier.training_loss
    before: list[list[Tensor]] = []
    seen: list[int] = []

    def training_loss(module: ImageClassifier, batch: Any) -> Tensor:
        if len(seen) == bad - bad % 2:
            before.append([w.clone() for w in weights(module.network)])
        seen.append(len(seen))
        return compute(module, batch) * (torch.nan if len(seen) == bad + 1 else 1)

    monkeypatch.setattr(ImageClassifier, "training_loss", training_loss)
    network = without_norm()
    with pytest.raises(Diverged, match=f"^the loss is nan at step {bad // 2}: try"):
        fit(tmp_path, TWO, network, HALF)
    assert all(map(torch.equal, before[0], weights(network)))
    assert len(seen) == bad - bad % 2 + 2  # asked after the whole step


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_batch_has_a_seed_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    """Dropout in two batches of one step must not be the same."""
    seeds: list[int] = []
    compute = ImageClassifier.training_loss

    def training_loss(module: ImageClassifier, batch: Any) -> Tensor:
        seeds.append(torch.initial_seed())
        return compute(module, batch)

    monkeypatch.setattr(ImageClassifier, "training_loss", training_loss)
    fit(tmp_path, replace(OPTIM, accumulate=accumulate), settings=HALF)
    assert seeds == [keyed_seed("step", 0, number) for number in range(16)]


def test_the_average_is_over_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not over batches: ours, of the weights after each step, is what best.ckpt holds."""
    decay, network = 0.8, without_norm()
    after: list[list[Tensor]] = []

    def note(module: ImageClassifier, *arguments: Any) -> None:
        if module.global_step > len(after):
            after.append([w.clone() for w in weights(network)])

    monkeypatch.setattr(ImageClassifier, "on_train_batch_end", note)
    fit(tmp_path, TWO, network, HALF, ema_decay=decay, max_epochs=1)
    assert len(after) == 4
    expected = after[0]
    for now in after[1:]:
        expected = [decay * mean + (1 - decay) * w for mean, w in zip(expected, now, strict=True)]
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    for found, mean in zip(best.values(), expected, strict=True):
        torch.testing.assert_close(found, mean)


def test_too_few_batches_for_a_step(senet: Senet, tmp_path: Path) -> None:
    """54 images: before they are read, two more are thought possible, one of each class."""
    for words, said in (
        (
            ["optim.accumulate=4"],
            "4 batches of 16 take 64 training images, and there are 56 at most",
        ),
        (
            ["optim.accumulate=5", "data.batch_size=11"],
            "5 batches of 11 take 55 training images, and there are 54 at most",
        ),
    ):
        result = senet(*TINY, *words)
        assert (result.code, result.err.count("error: ")) == (2, 1)
        assert f"error: optim.accumulate={said}: choose a smaller " in result.err
        assert bool(list(tmp_path.iterdir())) == ("of 11" in said)  # known when they are read
