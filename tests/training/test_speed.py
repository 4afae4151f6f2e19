"""Peak memory belongs to one run."""

import sys
import weakref
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from support import TINY, Result

from senet_train.training import fit
from senet_train.training.callbacks import speed
from senet_train.training.tasks.classification import ImageClassifier


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="only Linux can reset a peak; elsewhere a record has its process's",
)
def test_the_peak_of_an_earlier_run_is_forgotten() -> None:
    cpu = torch.device("cpu")
    speed.reset_peak_memory()  # an earlier test's may be higher than all that is asked for here
    before = speed.peak_memory_bytes(cpu)
    large = torch.ones(100_000_000)  # 400 MB, written
    del large
    high = speed.peak_memory_bytes(cpu)
    assert high > before + 200e6  # without a reset it stays: the control
    speed.reset_peak_memory()
    assert speed.peak_memory_bytes(cpu) < high - 200e6


def test_a_sweep_keeps_no_network_of_an_earlier_run(
    senet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[ImageClassifier]] = []
    alive: list[int] = []
    build = fit.build_learner

    def watched(*arguments: object) -> ImageClassifier:
        alive.append(sum(reference() is not None for reference in made))
        module = build(*arguments)  # type: ignore[arg-type]
        made.append(weakref.ref(module))
        return module

    monkeypatch.setattr(fit, "build_learner", watched)
    monkeypatch.setattr(fit, "reset_peak_memory", speed.reset_peak_memory)
    words = ("trainer.max_epochs=1", "seed=0,1,2", "hydra/launcher=basic")
    assert senet("-m", *TINY, *words).code == 0
    assert alive == [0, 0, 0]


def test_a_batch_that_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the words of the shortage are; another error stays one."""

    class Small(torch.nn.Module):
        words = "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"

        def forward(self, images: torch.Tensor) -> None:
            if len(images) > 1:
                raise RuntimeError(self.words)

    monkeypatch.setattr(speed, "LATENCY_SECONDS", 0.0)
    small, image = Small(), torch.zeros(1, 3, 8, 8)
    assert list(speed.measure_latency(small, nullcontext, image)) == ["1"]
    small.words = "cuDNN error: CUDNN_STATUS_BAD_PARAM"
    with pytest.raises(RuntimeError, match="BAD_PARAM"):
        speed.measure_latency(small, nullcontext, image)
