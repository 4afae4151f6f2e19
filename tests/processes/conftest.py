"""The tests of real processes fork them from a server that has torch, and a plan made."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def forked_from_a_warm_server(warm_fork_server: None) -> None:
    """Whichever test is the first."""
