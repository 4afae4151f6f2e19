"""On a GPU a run goes on exactly, stops at a loss that is not finite, and scales its loss."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from device.pretended_run import Run, train
from device.test_pretended_gpu import SE, SETTINGS, TWO
from processes.outcome import equal
from torch import Tensor

from senet_train.errors import Diverged
from senet_train.system.signals import Stopped
from senet_train.training.callbacks import agreement, speed
from senet_train.training.callbacks.checkpoints import Checkpoints
from senet_train.training.precision import scaler_of
from senet_train.training.tasks.classification import ImageClassifier

TERM = 15
SIX = "trainer.max_epochs=6"
SCALED = "trainer.precision=16-mixed"


@pytest.fixture(autouse=True)
def brief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder; latency is measured of one image, once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "LATENCY_SECONDS", 0.0)
    monkeypatch.setattr(speed, "LATENCY_BATCHES", (1,))


class AtStep(pl.Callback):
    """Calls a function before a step."""

    def __init__(self, step: int, function: Callable[[pl.Trainer, Any], None]) -> None:
        self.step, self.function = step, function

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *arguments: Any) -> None:
        if trainer.global_step == self.step:
            self.function(trainer, pl_module)


def weights(module: Any) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in module.network.named_parameters()}


def momentum(trainer: pl.Trainer) -> list[Tensor]:
    """What the optimizer keeps between two steps, without its counts."""
    state = trainer.optimizers[0].state.values()
    kept = [tensor for entry in state for tensor in entry.values() if tensor.dim() > 0]
    return [tensor.cpu().clone() for tensor in kept]


def kept(run: Run) -> dict[str, Any]:
    """What a run leaves that must not depend on where it was stopped."""
    last, best = run.checkpoint(), run.checkpoint("best.ckpt")
    names = ("state_dict", "optimizer_states", "progress", "current_model_state", "MixedPrecision")
    assert run.fitted is not None
    return {
        **{name: last.get(name) for name in names},
        "best": best["state_dict"],
        "metrics": vars(run.fitted.metrics),
    }


RESUMED = {
    "plain": (),
    **{name: SETTINGS[name] for name in ("average", "loss scale", "augmentation")},
    "loss scale, clipping and average": SETTINGS["loss scale, clipping and average"],
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_stopped_run_goes_on_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal in the middle of an epoch; what is drawn at random is keyed."""
    words = [*SE, TWO, *RESUMED[name]]
    whole = kept(train([*words, "output_dir=whole"], Overflow(above=2.0**14)))
    arrived: list[int] = []
    signal = AtStep(3, lambda trainer, module: arrived.append(TERM))
    with monkeypatch.context() as patch:
        patch.setattr(agreement, "pending_signal", lambda: arrived[0] if arrived else None)
        cut = train(words, signal, Overflow(above=2.0**14), stopped_by=Stopped)
    progress = cut.checkpoint()["progress"]
    assert (progress["epoch"], progress["batch"]) == (1, 1)
    start = cut.plan.folder.checkpoints / "last.ckpt"
    assert equal(kept(train(words, Overflow(above=2.0**14), start=start)), whole)


class Overflow(pl.Callback):
    """Gradients are infinite while the loss scale is above a number, as those of float16 are."""

    def __init__(self, above: float) -> None:
        self.above = above
        self.steps = 0  # that overflow

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scaler = scaler_of(trainer)
        if scaler is None or scaler._scale is None:
            return
        self.steps += 1
        large = (scaler._scale > self.above).float()
        for parameter in pl_module.parameters():
            if parameter.grad is not None:  # infinite, or as it was
                parameter.grad.div_(1 - large)


def spoil(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The loss of this step, and of those after it, is NaN."""
    compute = ImageClassifier.training_loss

    def training_loss(module: ImageClassifier, batch: Any) -> Tensor:
        loss = compute(module, batch)
        return loss * torch.nan if module.global_step >= step else loss

    monkeypatch.setattr(ImageClassifier, "training_loss", training_loss)


class AtTheEnd(pl.Callback):
    """What the weights and their momentum are when the run is stopped."""

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.weights, self.momentum = weights(pl_module), momentum(trainer)


@pytest.mark.parametrize("name", ["plain", "clipping", "loss scale", "average", "adamw", "radam"])
@pytest.mark.parametrize("step", [0, 4])
def test_a_loss_that_is_not_finite_touches_no_weight(
    name: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host asks after the steps 0, 2, 3 and 5. It names the step, whenever it asks."""
    words = [*SE, TWO, *SETTINGS.get(name, ())]
    before: list[Any] = []
    keep = AtStep(step, lambda trainer, module: before.append((weights(module), momentum(trainer))))
    end = AtTheEnd()
    spoil(monkeypatch, step)
    with pytest.raises(Diverged, match=f"^the loss is nan at step {step}: try a smaller optim.lr"):
        train(words, keep, end)
    [(weights_before, state_before)] = before
    assert equal(weights_before, end.weights)
    assert equal(state_before, end.momentum[: len(state_before)])  # Adam's begins in its first step
    if step == 0:
        assert not any(tensor.any() for tensor in end.momentum)
    assert bool(list(Path().rglob("last.ckpt"))) == (step > 2)  # that of the first epoch


def test_no_checkpoint_holds_what_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before every one, however often they are due."""
    saved: list[bool] = []
    save = Checkpoints.save_last

    def seen(checkpoints: Checkpoints, trainer: pl.Trainer) -> None:
        module: Any = trainer.lightning_module
        saved.append(all(t.isfinite().all() for t in weights(module).values()))
        assert float(module.guard.halted) == 0
        save(checkpoints, trainer)

    monkeypatch.setattr(Checkpoints, "save_last", seen)
    spoil(monkeypatch, 4)
    with pytest.raises(Diverged):
        train([*SE, TWO, "trainer.checkpoint_minutes=0"])
    assert saved == [True] * 4  # after the steps 0, 2 and 3, and the first validation


def test_an_overflow_is_no_divergence() -> None:
    """Its steps are left out, and the scale is halved; the rest is a run of fewer steps."""
    overflow = Overflow(above=2.0**12)
    run = train([*SE, SIX, SCALED], overflow)
    last = run.checkpoint()
    assert overflow.steps == 18
    assert last["MixedPrecision"]["scale"] == 2.0**12  # halved four times
    assert last["MixedPrecision"]["_growth_tracker"] == 18 - 4
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())
    losses = [row["train_loss"] for row in last["progress"]["history"]]
    assert all(map(math.isfinite, losses))


def test_the_skipped_steps_change_nothing() -> None:
    """The first four steps overflow: the weights before the fifth are those of the start."""
    seen: dict[int, dict[str, Tensor]] = {}

    def note(step: int) -> AtStep:
        return AtStep(step, lambda trainer, module: seen.update({step: weights(module)}))

    train([*SE, TWO, SCALED], note(0), note(4), note(5), Overflow(above=2.0**12))
    assert equal(seen[0], seen[4])
    assert not any(map(torch.equal, seen[4].values(), seen[5].values()))


def test_an_endless_overflow_is_a_divergence() -> None:
    """From 2**16 the scale falls below 1 in step 16; the host asks next at the epoch's end."""
    with pytest.raises(Diverged, match=r"^the gradients overflow float16 at step 17, "):
        train([*SE, SIX, SCALED], Overflow(above=0.0))


@pytest.mark.parametrize("clip", [(), ("trainer.clip_norm=0.05",)])
def test_a_loss_scale_leaves_the_bits(clip: tuple[str, ...]) -> None:
    """Without float16 a power of two changes no bit: clipping acts on the gradients themselves."""
    scaled = kept(train([*SE, TWO, SCALED, *clip, "output_dir=scaled"]))
    assert scaled.pop("MixedPrecision")["scale"] == 2.0**16
    plain = kept(train([*SE, TWO, "trainer.precision=32", *clip]))
    assert plain.pop("MixedPrecision") is None
    assert equal(scaled, plain)
    if clip:  # the control: it is clipped
        assert not equal(plain["state_dict"], kept(train([*SE, TWO, "output_dir=o"]))["state_dict"])


def test_speed_is_measured_between_two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step has the rate of the steps that ended together; the first has its own."""
    now = iter(range(10**6))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: float(next(now)))
    meters: list[speed.SpeedMeter] = []

    class Found(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            meters.extend(c for c in trainer.callbacks if isinstance(c, speed.SpeedMeter))  # type: ignore[attr-defined]

    train([*SE, TWO], Found())
    [meter] = meters
    assert [len(epoch) for epoch in meter.rates] == [3, 3]
    for first, second, third in meter.rates:
        assert second == third != first
