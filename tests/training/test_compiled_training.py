"""`trainer.kernel=compiled` compiles the training steps of a run, and nothing else of it.

Quick tests compile with a backend of the test's that calls what torch has traced: to the bit what
is traced. Slow ones compile with Inductor.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from processes.outcome import equal
from support import TINY, Senet, config, needs_compiler, weights_in
from torch import Tensor, nn

from senet_train.backbones.wide_resnet import Dropout
from senet_train.networks.kernels import compiled
from senet_train.runs.checkpoint_files import read_checkpoint
from senet_train.system.signals import Stopped
from senet_train.training import fit
from senet_train.training.callbacks import agreement
from senet_train.training.fit import fit_and_test
from senet_train.training.plan import make_plan
from senet_train.training.tasks.classification import ImageClassifier

COMPILED = "trainer.kernel=compiled"
KERNELS = ("composed", "compiled")
STEPS = 2 * 3  # of TINY: 48 images in batches of 16, twice


class Traced:
    """A backend: it counts the graphs that were traced, and how often each is called."""

    def __init__(self) -> None:
        self.graphs, self.calls = 0, 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        self.graphs += 1

        def call(*arguments: Any) -> Any:
            self.calls += 1
            return graph.forward(*arguments)

        return call


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    backend = Traced()
    monkeypatch.setattr(compiled, "HOW", {"backend": backend})
    monkeypatch.setattr(compiled, "no_compiler", lambda accelerator: "")
    return backend


def run_of(base: Path) -> Path:
    """The folder of the only run below an output folder."""
    [folder] = base.glob("*/*/seed0")
    return folder


def record_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


SETTINGS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "average, clipping": ("trainer.ema_decay=0.9", "trainer.clip_norm=0.1"),
    "bfloat16": ("trainer.precision=bf16-mixed",),
    "frozen": ("optim.frozen=backbone", "trainer.max_epochs=1"),
}
SCENES = (
    *("task=segmentation", "data.num_images=40", "data.num_test_images=40", "data.batch_size=8"),
    *("model=resnet8", "attention=se", "ratio=4", "trainer.precision=32", "trainer.max_epochs=1"),
)


LINES = [
    pytest.param((*TINY, *words), id=name, marks=[pytest.mark.slow] * (name != "average, clipping"))
    for name, words in SETTINGS.items()
] + [pytest.param(SCENES, id="scenes", marks=pytest.mark.slow)]


@pytest.mark.parametrize("line", LINES)
def test_training_alone_is_compiled(
    line: tuple[str, ...], senet: Senet, traced: Traced, tmp_path: Path
) -> None:
    """Once for a run, whose bits, names and folder's name are those of the composed kernel."""
    for kernel in KERNELS:
        result = senet(*line, f"output_dir={kernel}", f"trainer.kernel={kernel}")
        assert result.code == 0, result.err
    plain, own = (run_of(tmp_path / kernel) for kernel in KERNELS)
    last = read_checkpoint(own / "checkpoints" / "last.ckpt")
    assert (traced.graphs, traced.calls) == (1, last["global_step"])
    assert last["global_step"] > 2
    assert record_in(own)["environment"]["kernel"] == "compiled"
    assert plain.parent.name == own.parent.name
    before, after = weights_in(plain), weights_in(own)
    assert list(before) == list(after)
    assert equal(before, after)
    assert record_in(plain)["metrics"] == record_in(own)["metrics"]


@pytest.mark.slow
def test_evaluation_would_be_counted_if_it_were_compiled(
    senet: Senet, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the counts above."""
    evaluate = ImageClassifier.evaluate

    def evaluate_compiled(module: ImageClassifier, batch: Any, part: str) -> None:
        module.in_training(batch[0])
        evaluate(module, batch, part)

    monkeypatch.setattr(ImageClassifier, "evaluate", evaluate_compiled)
    assert senet(*TINY, COMPILED).code == 0
    assert traced.graphs > 1
    assert traced.calls > STEPS


class StopBefore(pl.Callback):
    """A signal comes before a step."""

    def __init__(self, step: int, arrived: list[int]) -> None:
        self.step, self.arrived = step, arrived

    def on_train_batch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        if trainer.global_step == self.step:
            self.arrived.append(15)


def state_after(words: list[str], start: Path | None = None) -> dict[str, Any]:
    plan = make_plan(config(*words))
    plan.folder.checkpoints.mkdir(parents=True, exist_ok=True)
    fit_and_test(plan, start, {})
    last = read_checkpoint(plan.folder.checkpoints / "last.ckpt")
    return {key: last[key] for key in ("state_dict", "optimizer_states", "progress")}


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(
    traced: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*TINY, COMPILED]
    whole = state_after([*words, "output_dir=whole"])
    arrived: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(agreement, "pending_signal", lambda: arrived[0] if arrived else None)
        patch.setattr(fit, "progress_bar", lambda plan: [StopBefore(4, arrived)])
        with pytest.raises(Stopped):
            state_after(words)
    last = make_plan(config(*words)).folder.checkpoints / "last.ckpt"
    assert read_checkpoint(last)["progress"]["batch"] == 2
    assert equal(state_after(words, start=last), whole)
    assert traced.graphs == 3


# Of a weight after six steps, by rounding alone. Measured on one machine: at most 4e-7.
CLOSE = 5e-6


def largest_gap(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Of two networks whose weights have the same names."""
    assert list(one) == list(other)
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@needs_compiler
@pytest.mark.slow
def test_inductor_trains_what_torch_trains(senet: Senet, tmp_path: Path) -> None:
    counters = torch._dynamo.utils.counters
    counters.clear()
    for kernel in KERNELS:
        words = ("optim.lr=0.01", f"output_dir={kernel}", f"trainer.kernel={kernel}")
        assert senet(*TINY, *words).code == 0
    before, after = (weights_in(run_of(tmp_path / kernel)) for kernel in KERNELS)
    assert 0 < largest_gap(before, after) < CLOSE
    start = fit.build_learner(make_plan(config(*TINY, "trainer.kernel=composed")), 3).state_dict()
    assert largest_gap(before, start) > 100 * CLOSE
    assert counters["stats"]["unique_graphs"] == 1  # for training, and nothing else
    assert not counters["graph_break"]


@needs_compiler
@pytest.mark.slow
def test_two_processes_train_what_they_train_without(senet: Senet, tmp_path: Path) -> None:
    for kernel in KERNELS:
        words = ("optim.lr=0.0001", f"output_dir={kernel}", f"trainer.kernel={kernel}")
        assert senet(*TINY, *words, "trainer.devices=2").code == 0
    before, after = (weights_in(run_of(tmp_path / kernel)) for kernel in KERNELS)
    assert 0 < largest_gap(before, after) < CLOSE


@needs_compiler
@pytest.mark.slow
def test_what_is_drawn_is_what_torch_draws() -> None:
    """From the generator that the learner seeds; without `fallback_random` it would be others."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Dropout(0.5), nn.ReLU())
    images = torch.randn(2, 3, 8, 8)

    def zeros(forward: Callable[[Tensor], Tensor]) -> Tensor:
        torch.manual_seed(7)
        return forward(images) == 0

    assert torch.equal(zeros(compiled.compiled(network)), zeros(network))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "HOW", {"backend": "inductor"})
        assert not torch.equal(zeros(compiled.compiled(network)), zeros(network))
