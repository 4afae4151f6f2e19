"""Shared by the tests of sweeps."""

import pytest
from sweeps.planned_training import Bench, stand_in


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """No run of this process is trained; arms differ by noise alone."""
    planned = Bench()
    stand_in(monkeypatch, planned)
    return planned
