"""What `auto` is on a machine, and what is refused there."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest
import torch
from pretended_cards import pretend_cards
from support import TINY, Senet

from senet_train.config.schema import Precision
from senet_train.errors import InputError
from senet_train.networks import hardware
from senet_train.networks.hardware import (
    Hardware,
    autocast,
    choose_accelerator,
    choose_kernel,
    choose_precision,
    hardware_of,
)
from senet_train.runs.environment import describe_environment
from senet_train.training.checks import refuse_cards


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """What this process has said, and which kernel it chose, is of this test alone."""
    for known in (hardware.warn_once, choose_kernel):
        known.cache_clear()
    yield
    for known in (hardware.warn_once, choose_kernel):
        known.cache_clear()


def test_an_old_card_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, senet: Senet) -> None:
    """A V100, on which the run would begin and then fail."""
    pretend_cards(monkeypatch, (7, 0))
    result = senet(*TINY, "trainer.accelerator=gpu")
    assert result.code == 2
    assert result.err == (
        "error: trainer.accelerator=gpu and this PyTorch has no code for GPU 0, Card 0 of "
        "capability 7.0 (it has sm_75, sm_80, sm_86, sm_90, sm_100, sm_120): choose cpu or auto\n"
    )


def test_auto_leaves_an_old_card_alone_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend_cards(monkeypatch, (6, 1))
    assert [choose_accelerator("auto") for _ in range(3)] == ["cpu"] * 3
    [line] = caplog.messages
    assert line.startswith("the CPU is used: this PyTorch has no code for GPU 0, Card 0 of ")
    caplog.clear()
    assert choose_accelerator("cpu") == "cpu"
    pretend_cards(monkeypatch)
    assert choose_accelerator("auto") == "cpu"
    pretend_cards(monkeypatch, (8, 9))
    assert choose_accelerator("auto") == choose_accelerator("gpu") == "gpu"
    assert caplog.messages == []  # nothing is said where nothing is left unused


def test_each_process_of_a_run_has_a_usable_card(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cards(monkeypatch, (8, 6), (7, 0))
    refuse_cards(1, 1)
    with pytest.raises(InputError, match=r"devices=2 and this PyTorch has no code for GPU"):
        refuse_cards(2, 2)
    with pytest.raises(InputError, match=r"trainer\.devices=3 and there are 2 GPUs: choose fewer"):
        refuse_cards(3, 3)
    pretend_cards(monkeypatch, (8, 6), (8, 6))
    refuse_cards(2, 2)


BY_CAPABILITY: dict[tuple[int, int], Precision] = {
    (6, 1): 32,  # GTX 10xx: float16 at 1/64 of the speed
    (7, 0): "16-mixed",  # V100
    (7, 5): "16-mixed",  # T4, RTX 20xx, GTX 16xx
    (8, 0): "bf16-mixed",  # A100
    (8, 6): "bf16-mixed",  # RTX 30xx
    (8, 9): "bf16-mixed",
    (9, 0): "bf16-mixed",
    (12, 0): "bf16-mixed",
}


@pytest.mark.parametrize("capability", BY_CAPABILITY)
def test_precision_is_what_the_card_multiplies(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    pretend_cards(monkeypatch, capability)
    assert choose_precision("auto", "gpu") == BY_CAPABILITY[capability]
    assert choose_precision(32, "gpu") == 32


def test_autocast_is_of_the_precision() -> None:
    cpu = torch.device("cpu")
    matrix = torch.ones(2, 2)
    for precision, dtype in (
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
        (32, torch.float32),
    ):
        with autocast(cpu, precision):
            assert (matrix @ matrix).dtype == dtype


@pytest.mark.parametrize("where", [("gpu", True, True), ("cpu", False, True), ("cpu", True, False)])
def test_nothing_is_said_of_a_kernel_that_nobody_asked_for(
    where: tuple[str, bool, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """On a GPU, without channels-last maps, and by several processes."""
    assert choose_kernel("auto", *where) == "composed"
    assert caplog.messages == []
    with pytest.raises(InputError, match=r"trainer\.kernel=folded is for channels-last maps on a"):
        choose_kernel("folded", *where)


def test_the_hardware_of_a_gpu_is_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cards(monkeypatch, (8, 6))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)
    monkeypatch.setattr(hardware, "driver_version", lambda: "580.65.06")
    found = hardware_of("gpu", "bf16-mixed", "composed", deterministic=False)
    assert asdict(found) == {
        "accelerator": "gpu",
        "capability": "8.6",
        "precision": "bf16-mixed",
        "tf32": "off",
        "kernel": "composed",
        "cudnn_benchmark": True,
        "cuda": "13.2",
        "cudnn": "91900",
        "driver": "580.65.06",
    }
    again = hardware_of("gpu", "bf16-mixed", "composed", deterministic=True)
    assert again == replace(found, cudnn_benchmark=False)
    environment = describe_environment(found)
    assert environment.device == "Card 0"
    assert asdict(found).items() <= asdict(environment).items()


def test_a_cpu_has_no_gpu_in_its_record() -> None:
    found = hardware_of("cpu", 32, "folded", deterministic=False)
    assert found == Hardware("cpu", "32", "folded", "", "", False, "", "", "")
    environment = describe_environment(found)
    assert environment.device == environment.cpu
    assert asdict(found).items() <= asdict(environment).items()
