"""The tests compose faster than Hydra alone (tests/composing.py), and the same."""

from typing import Any

import composing
import pytest
from composing import composing_as_hydra_does, composing_is_fast, load, mode_of
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from support import arms

from senet_train.config.resolvers import config_dir, register_resolvers

LINES = (
    [],
    ["seed=3", "ratio=4"],
    ["seeds=2"],
    ["seeds=1"],
    ["seeds=auto"],
    ["first_seed=4"],
    [arms(["attention=se"])],
    ["seed=1,2"],
    ["ratio=2,4"],
    ["experiment=se_ratio"],
    ["hydra.mode=MULTIRUN"],
    ["hydra/sweeper=search"],
    ["data=cifar10", "model=resnet20", "optim.lr=0.4"],
)


def composed(words: list[str]) -> Any:
    """All of a command's configuration, Hydra's own part too, and the mode."""
    register_resolvers()
    with initialize_config_dir(config_dir(), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        mode = Hydra.get_mode(hydra, "config", list(words))
        whole = compose("config", [w for w in words if ",2" not in w and ",4" not in w], True)
        return OmegaConf.to_container(whole, resolve=False), mode


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_it_is_what_hydra_composes(words: list[str]) -> None:
    with composing_as_hydra_does():
        expected = composed(words)
    with composing_is_fast():
        assert Hydra.get_mode is mode_of
        assert composed(words) == expected
        assert composed(words) == expected  # from what was parsed before


def test_nothing_is_done_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the words and their values, which are new each time."""
    with composing_is_fast():
        composed(["data=cifar10", "optim.lr=0.2"])
        for name in ("load", "merge", "list_defaults", "get_mode"):
            monkeypatch.delattr(composing, name)
        changed = composed(["data=cifar10", "optim.lr=0.4"])
        assert changed[0]["optim"]["lr"] == 0.4
        with pytest.raises(NameError):
            composed(["data=cifar100"])


def test_a_table_has_another_mode() -> None:
    """Otherwise all modes could be equal because all are None."""
    with composing_as_hydra_does():
        assert OmegaConf.load is load
        assert composed([])[1] is None
        assert str(composed(["seeds=2"])[1]) == "RunMode.MULTIRUN"
