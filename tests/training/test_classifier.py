"""Training and evaluation: exact means, a guard against divergence, EMA, clipping, overfitting."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from support import OPTIM
from torch import nn
from training.fitting import fit, small_network

from senet_train.config.schema import Choice
from senet_train.errors import Diverged
from senet_train.training.fit import load_best
from senet_train.training.parameters import parameter_groups
from senet_train.training.progress import MetricSums
from senet_train.training.tasks.classification import class_counts, class_sums


def test_overfits_32_images(tmp_path: Path) -> None:
    module, _, _ = fit(tmp_path, dataclasses.replace(OPTIM, weight_decay=0.0), max_epochs=30)
    assert module.progress.history[-1]["train_top1"] == 1.0
    assert (
        module.progress.history[-1]["train_loss"] < 0.1 * module.progress.history[0]["train_loss"]
    )


def test_means_are_over_images(tmp_path: Path) -> None:
    """13 and 21 images in batches of 8: the last batch is smaller and weighs less."""
    module, trainer, data = fit(tmp_path)
    load_best(module, tmp_path / "checkpoints" / "best.ckpt", {})
    trainer.test(module, datamodule=data, verbose=False)
    logits = module.test_predictions()
    probabilities = logits.softmax(1).double().numpy()
    labels = data.splits.test.labels.numpy()
    top1 = accuracy_score(labels, probabilities.argmax(1))
    top5 = top_k_accuracy_score(labels, probabilities, k=5, labels=range(6))
    assert module.test_means["test_top1"] == pytest.approx(top1, abs=1e-12)
    assert module.test_means["test_top5"] == pytest.approx(top5, abs=1e-12)
    loss = log_loss(labels, probabilities / probabilities.sum(1, keepdims=True), labels=range(6))
    assert module.test_means["test_loss"] == pytest.approx(loss, rel=1e-5)
    # Negative control: the mean of the batches' means is another number.
    [(order, predicted)] = module.test_batches  # in the order of the batches, joined
    batches = zip(order.split(8), predicted.split(8), strict=True)
    per_batch = [accuracy_score(labels[i], said.argmax(1)) for i, said in batches]
    assert np.mean(per_batch) != pytest.approx(top1, abs=1e-12)


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_format(tmp_path: Path, channels_last: bool) -> None:
    network, seen = small_network(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    fit(tmp_path, network=network, max_epochs=1, channels_last=channels_last)
    chosen = torch.channels_last if channels_last else torch.contiguous_format
    assert all(x.is_contiguous(memory_format=chosen) for x in seen)


def test_metric_sums_start_anew() -> None:
    sums = class_sums()
    sums.update(class_counts(torch.tensor(6.0), torch.eye(3), torch.tensor([0, 1, 0])))
    assert sums.compute("val") == pytest.approx(
        {"val_loss": 2.0, "val_top1": 2 / 3, "val_top5": 1.0}
    )
    assert sums.num_images == 0


def test_divergence_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    network = small_network()
    weights: list[torch.Tensor] = []

    def spoil(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        if module.training and len(weights) < 3:
            weights.append(torch.cat([p.detach().flatten().clone() for p in network.parameters()]))
            return output
        return output * torch.nan

    network.register_forward_hook(spoil)
    with pytest.raises(Diverged, match="the loss is nan at step 3: try a smaller"):
        fit(tmp_path, network=network)
    after = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert torch.isfinite(after).all()
    assert not torch.equal(after, weights[-1])  # step 2 still happened, step 3 did not
    assert not list(tmp_path.rglob("best.ckpt"))


def test_divergence_in_validation_keeps_no_checkpoint(tmp_path: Path) -> None:
    network = small_network()
    network.register_forward_hook(lambda m, _, y: y if m.training else y * torch.inf)
    with pytest.raises(Diverged, match="in validation of epoch 0"):
        fit(tmp_path, network=network)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_dropout_is_keyed_by_seed_and_step(tmp_path: Path) -> None:
    def network() -> nn.Module:
        return nn.Sequential(small_network(), nn.Dropout(0.5))

    first, _, _ = fit(tmp_path / "a", network=network())
    torch.rand(17)  # someone else uses the global generator
    second, _, _ = fit(tmp_path / "b", network=network())
    assert first.progress.history == second.progress.history


def test_weight_decay_spares_norms_and_biases_when_asked() -> None:
    network = small_network()
    everything = parameter_groups(network, OPTIM)
    assert [len(g["params"]) for g in everything] == [6]
    decayed, spared = parameter_groups(
        network, dataclasses.replace(OPTIM, decay_norm_and_bias=False)
    )
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert all(p.ndim == 1 for p in spared["params"])


@pytest.mark.parametrize("precision", [32, "bf16-mixed"])
def test_clipping_bounds_the_step(tmp_path: Path, precision: int | str) -> None:
    """lr 1, no momentum, no decay: the weights move by at most the clip norm."""
    plain = Choice("sgd", {"momentum": 0.0, "nesterov": False})
    optim = dataclasses.replace(OPTIM, lr=1.0, algorithm=plain, weight_decay=0.0)
    before = torch.cat([p.detach().flatten() for p in small_network().parameters()])
    moved = {}
    for clip in (0.001, "none"):
        folder, trainer = tmp_path / str(clip), {"precision": precision, "max_epochs": 1}
        module, _, _ = fit(folder, optim, clip_norm=clip, **trainer)
        after = torch.cat([p.detach().flatten() for p in module.network.parameters()])
        moved[clip] = float((after - before).norm())
    assert moved[0.001] <= 4 * 0.001 * 1.01  # 4 steps
    assert moved["none"] > 10 * moved[0.001]


def test_ema_weights_are_what_is_evaluated(tmp_path: Path) -> None:
    """Our own average of the weights after every step equals what best.ckpt holds."""
    decay, network = 0.8, small_network()
    trained: list[list[torch.Tensor]] = []
    network.register_forward_hook(
        lambda m, *_: (
            trained.append([p.detach().clone() for p in m.parameters()]) if m.training else None
        )
    )
    module, trainer, data = fit(tmp_path, network=network, max_epochs=1, ema_decay=decay)
    final = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    raw = final["current_model_state"]
    raw_names = [f"network.{name}" for name, _ in network.named_parameters()]
    trained.append([raw[name] for name in raw_names])
    average = trained[1]  # Lightning starts the average at the weights after the first step
    for weights in trained[2:]:
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    for name, expected in zip(raw_names, average, strict=True):
        torch.testing.assert_close(best[name], expected)
        assert not torch.equal(best[name], raw[name])
    load_best(module, tmp_path / "checkpoints" / "best.ckpt", {})
    trainer.test(module, datamodule=data, verbose=False)
    with torch.no_grad():
        for images, _, indices in data.test_dataloader():
            torch.testing.assert_close(module.test_predictions()[indices], network.eval()(images))
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, best[f"network.{name}"])


def test_equal_accuracy_is_decided_by_the_loss_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses that 32 bits cannot tell apart: Lightning's own monitor would keep the first."""
    losses = [0.5, 0.5 - 1e-12, 0.5 - 1e-12, 0.5]
    assert len({np.float32(loss) for loss in losses}) == 1
    left = iter(losses)
    means = MetricSums.compute

    def equal(sums: MetricSums, part: str) -> dict[str, float]:
        real = means(sums, part)
        return {**real, "val_top1": 0.5, "val_loss": next(left)} if part == "val" else real

    monkeypatch.setattr(MetricSums, "compute", equal)
    module, _, _ = fit(tmp_path, max_epochs=4)
    assert load_best(module, tmp_path / "checkpoints" / "best.ckpt", {}) == 1
