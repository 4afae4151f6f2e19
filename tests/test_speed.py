"""Peak memory belongs to one run."""

import sys

import pytest
import torch

from senet_train import speed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak: others keep it")
def test_the_peak_of_an_earlier_run_is_forgotten() -> None:
    cpu = torch.device("cpu")
    before = speed.peak_memory_bytes(cpu)
    large = torch.ones(100_000_000)  # 400 MB, written
    del large
    high = speed.peak_memory_bytes(cpu)
    assert high > before + 200e6  # without a reset it stays: the control
    speed.reset_peak_memory()
    assert speed.peak_memory_bytes(cpu) < high - 200e6
