"""Shared by the tests of sweeps."""

import pytest
from sweeps.planned_training import Bench

from senet_train.training import make_record


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """No run of this process is trained; arms differ by noise alone."""
    planned = Bench()
    monkeypatch.setattr(make_record, "fit_and_test", planned.fit_and_test)
    return planned
