"""Minutes long: what the README promises of the first command."""

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Result, run_folders

from senet_train.runs.record import read_record


@pytest.mark.slow
def test_digits_reach_98_percent(senet: Callable[..., Result], tmp_path: Path) -> None:
    """Mean test top-1 over seeds 0 to 4, default recipe."""
    assert senet("-m", "model=se_resnet18", "ratio=16", "seed=0,1,2,3,4").code == 0
    records = [read_record(folder / "result.json") for folder in run_folders(tmp_path)]
    assert len(records) == 5
    assert statistics.mean(record.metrics.test_top1 for record in records) >= 0.98
    assert all(record.cost.peak_memory_bytes < 2 * 1024**3 for record in records)
