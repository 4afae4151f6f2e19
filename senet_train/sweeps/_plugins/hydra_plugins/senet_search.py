"""Hydra takes a sweeper only from a package named hydra_plugins; the logic is elsewhere."""

from hydra.core.config_store import ConfigStore

from senet_train.sweeps.search import options, sweeper


class SearchSweeper(sweeper.SearchSweeper):
    """`hydra/sweeper=search`."""


NODE = {"_target_": "hydra_plugins.senet_search.SearchSweeper", **options.DEFAULTS}
ConfigStore.instance().store(group="hydra/sweeper", name="search", node=NODE, provider="senet")
