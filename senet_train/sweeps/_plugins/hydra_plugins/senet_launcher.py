"""Hydra takes a launcher only from a package named hydra_plugins; the logic is elsewhere."""

from hydra.core.config_store import ConfigStore

from senet_train.sweeps.launchers import local as local_launcher


class LocalLauncher(local_launcher.LocalLauncher):
    """`hydra/launcher=local`."""


NODE = {"_target_": "hydra_plugins.senet_launcher.LocalLauncher", "jobs": "auto"}
ConfigStore.instance().store(group="hydra/launcher", name="local", node=NODE, provider="senet")
