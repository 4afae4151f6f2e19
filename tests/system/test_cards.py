"""Which cards a build of PyTorch has code for."""

import warnings
from pathlib import Path

import pytest
import torch
from pretended_cards import WHEEL, pretend_cards

from senet_train.system import cards
from senet_train.system.cards import card_fault, driver_version, runs_on, usable_cards

# By architecture: capabilities that its code runs on, and those that it does not run on. From
# NVIDIA's CUDA C++ Programming Guide.
COMPATIBLE: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {
    "sm_75": ([(7, 5)], [(7, 0), (7, 2), (6, 1), (8, 0), (10, 0)]),
    "sm_80": ([(8, 0), (8, 6), (8, 9)], [(7, 5), (9, 0), (12, 0)]),
    "sm_86": ([(8, 6), (8, 9)], [(8, 0)]),
    "sm_90a": ([(9, 0)], [(8, 9), (10, 0)]),
    "sm_100": ([(10, 0), (10, 3)], [(9, 0), (12, 0)]),
    "sm_100a": ([(10, 0)], [(10, 3), (12, 0)]),
    "sm_100f": ([(10, 0), (10, 3)], [(9, 0), (12, 0)]),
    "sm_120": ([(12, 0), (12, 1)], [(10, 0)]),
    "compute_70": ([(7, 0), (7, 5), (8, 0), (9, 0), (12, 1)], [(6, 1)]),
    "compute_90a": ([(9, 0)], [(8, 9), (10, 0), (12, 0)]),
    "compute_120": ([(12, 0), (12, 1)], [(7, 0), (10, 3)]),
}


@pytest.mark.parametrize("architecture", COMPATIBLE)
def test_code_runs_where_nvidia_says(architecture: str) -> None:
    on, not_on = COMPATIBLE[architecture]
    assert [capability for capability in on + not_on if runs_on(architecture, capability)] == on


@pytest.mark.parametrize("capability", [(6, 1), (7, 0), (7, 2)])  # GTX 10xx, V100, Xavier
def test_an_older_card_is_of_no_use(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    pretend_cards(monkeypatch, capability)
    major, minor = capability
    assert card_fault() == (
        f"this PyTorch has no code for GPU 0, Card 0 of capability {major}.{minor} "
        "(it has sm_75, sm_80, sm_86, sm_90, sm_100, sm_120)"
    )
    pretend_cards(monkeypatch, capability, built_for=[*WHEEL, "compute_50"])
    assert card_fault() == ""


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 3), (12, 1)])
def test_a_card_of_the_wheel_is_of_use(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    pretend_cards(monkeypatch, capability)
    assert card_fault() == ""


def test_a_card_is_of_use_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """ROCm's builds name other architectures, and some builds none."""
    pretend_cards(monkeypatch, (7, 0), built_for=[])
    assert card_fault() == ""
    pretend_cards(monkeypatch, (9, 0), built_for=["gfx90a"])
    monkeypatch.setattr(torch.version, "hip", "6.3")
    assert card_fault() == ""


def test_usable_cards_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cards(monkeypatch, (7, 0), (8, 6), (6, 1), (7, 5))
    assert usable_cards() == [1, 3]
    pretend_cards(monkeypatch)
    assert usable_cards() == []
    assert card_fault() == "there is no usable GPU"


def test_torch_does_not_say_the_same_in_a_paragraph(monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns when it first looks at the cards. Warnings are errors in these tests."""
    pretend_cards(monkeypatch, (7, 0))

    def first_look(card: int = 0) -> tuple[int, int]:
        warnings.warn("Found GPU0 which is of cuda capability 7.0", stacklevel=1)
        return (7, 0)

    monkeypatch.setattr(torch.cuda, "get_device_capability", first_look)
    assert card_fault().startswith("this PyTorch has no code for GPU 0")


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65  Release", "580.65"),
        ("nothing", ""),
    ],
)
def test_the_driver_tells_its_release(
    told: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version").write_text(told)
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "version")
    driver_version.cache_clear()
    assert driver_version() == version
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "none")  # as on Windows
    monkeypatch.setenv("PATH", str(tmp_path))
    driver_version.cache_clear()
    assert driver_version() == ""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 572.16\n")
    program.chmod(0o755)
    driver_version.cache_clear()
    assert driver_version() == "572.16"
    driver_version.cache_clear()
