"""Hydra takes a sweeper only from a package named hydra_plugins; the logic is elsewhere."""

from hydra.core.config_store import ConfigStore

from senet_train.sweeps import sweeper as sweep


class ArmSweeper(sweep.ArmSweeper):
    """`hydra/sweeper=arms`."""


TARGET = {"_target_": "hydra_plugins.senet_sweeper.ArmSweeper"}
ConfigStore.instance().store(group="hydra/sweeper", name="arms", node=TARGET, provider="senet")
