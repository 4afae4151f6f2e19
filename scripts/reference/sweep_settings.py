"""The settings of sweepers and launchers: comments from the source, types from the classes."""

import inspect
from collections.abc import Mapping
from typing import get_type_hints

from hydra_plugins import senet

from reference.commented import commented_keys
from reference.markdown import escaped, table
from reference.type_words import type_words
from senet_train.sweeps.launchers.cluster import SlurmQueue
from senet_train.sweeps.search.options import Options

TYPES = {
    name: type_words(hint)
    for owner in (Options, SlurmQueue)
    for name, hint in get_type_hints(owner, include_extras=True).items()
} | {"jobs": "`auto` or whole number from 1 on"}


def sweep_parts() -> list[str]:
    """A heading and a table for each."""
    said = commented_keys(inspect.getsource(senet)) | commented_keys(inspect.getsource(Options))
    parts = ["## Sweepers and launchers", "What starts the runs of a sweep, a table or a search."]
    for (group, name, _), settings in senet.SETTINGS.items():
        if settings:
            parts += [f"### `{group}={name}`", settings_table(group, settings, said)]
    return parts


def settings_table(group: str, settings: Mapping[str, object], said: Mapping[str, str]) -> str:
    """A row for each setting."""
    rows = [
        (f"`{group.replace('/', '.')}.{key}`", f"`{value}`", TYPES[key], escaped(said[key]))
        for key, value in settings.items()
    ]
    return table(("key", "default", "type", "what it does"), rows)
