"""What a Mac gets, as far as another machine can show it: its CPU, or its GPU if asked for."""

import logging
import subprocess
import sys

import pytest
import torch
from support import TINY, Senet, config

from senet_train.errors import InputError
from senet_train.networks import hardware
from senet_train.networks.hardware import choose_accelerator, device_of
from senet_train.networks.kernels import library
from senet_train.runs import environment
from senet_train.sweeps.launchers.local import gpus_at, gpus_for
from senet_train.training.plan import make_plan

LINE = "the CPU is used: the GPU of this Mac has not been tried, and trainer.accelerator=mps alone"
MPS = (*TINY, "trainer.accelerator=mps")


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of Apple's, and no other."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    hardware.warn_once.cache_clear()


def test_auto_stays_on_the_cpu_and_says_so_once(
    mac: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert [choose_accelerator("auto") for _ in range(3)] == ["cpu"] * 3
    assert caplog.text.count(LINE) == 1
    assert choose_accelerator("cpu") == "cpu"
    assert caplog.text.count("the CPU is used") == 1


def test_nothing_is_said_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hardware.warn_once.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO):
        assert choose_accelerator("auto") == "cpu"
    assert caplog.text == ""


def test_its_gpu_is_taken_if_it_is_asked_for(mac: None) -> None:
    """In float32, module by module. Where a run is computed is not what it is."""
    plan = make_plan(config(*MPS, "trainer.precision=auto"))
    trainer = plan.config.trainer
    assert (trainer.accelerator, trainer.precision, trainer.kernel) == ("mps", 32, "composed")
    assert device_of("mps") == torch.device("mps")
    on_cpu = make_plan(config(*TINY, "trainer.accelerator=cpu"))
    assert plan.identity == on_cpu.identity
    assert gpus_at(0, gpus_for("mps"), 1) == ""  # one run at once, and nothing to choose


def test_the_record_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    answer = subprocess.CompletedProcess([], 0, "Apple M3 Pro\n")
    monkeypatch.setattr(environment.subprocess, "run", lambda *words, **named: answer)
    assert environment.cpu_name() == "Apple M3 Pro"
    assert environment.device_name("mps", "Apple M3 Pro") == "GPU of Apple M3 Pro"
    assert environment.device_name("cpu", "Apple M3 Pro") == "Apple M3 Pro"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "trainer.accelerator=mps and there is no Apple GPU that PyTorch can use: choose cpu"),
        (("trainer.devices=2",), "trainer.devices=2 and a Mac has one GPU: choose trainer.devices"),
        (("trainer.kernel=folded",), "trainer.kernel=folded is for channels-last maps on a CPU"),
    ],
)
def test_what_cannot_be(
    senet: Senet, request: pytest.FixtureRequest, words: tuple[str, ...], line: str
) -> None:
    if words:
        request.getfixturevalue("mac")
    result = senet(*MPS, *words)
    assert result.code == 2
    assert f"error: {line}" in result.err


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_nothing_is_compiled_there(
    platform: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Apple's compiler knows no -fopenmp. The control is that a compiler is asked for here."""
    asked: list[str] = []
    monkeypatch.setattr(library.shutil, "which", asked.append)
    for system in (platform, "linux"):
        monkeypatch.setattr(sys, "platform", system)
        library.find_library.cache_clear()
        assert hardware.folded_or_joined("auto") == "joined"
        assert len(asked) == (0 if system == platform else len(library.COMPILERS))
    library.find_library.cache_clear()
    assert "trainer.kernel=joined, slower than folded by some 10 %: its passes are" in caplog.text
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(InputError, match="its passes are compiled on Linux alone: choose auto or"):
        hardware.folded_or_joined("folded")
    library.find_library.cache_clear()
