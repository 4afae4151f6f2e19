"""Loads the shared fixtures, torch and all, where tests run: not where they are only handed out."""

import pytest

from senet_train.system.resources import usable_cores


def pytest_configure(config: pytest.Config) -> None:
    """The process that hands tests to others would spend its first ten seconds on imports."""
    hands_out = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if not hands_out:
        config.pluginmanager.import_plugin("shared_fixtures")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests of processes wait as long as they work."""
    return usable_cores() + 1
