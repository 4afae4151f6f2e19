"""The page of settings: every key of conf/, and those of sweepers and launchers."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from reference.conf_file import Key, header_of, keys_of, sets_other_groups
from reference.markdown import escaped, page, table
from reference.sweep_settings import sweep_parts
from reference.type_words import type_words
from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.config.schema import Config, Data, Optim, Placement, Trainer
from senet_train.data.find import SOURCES
from senet_train.networks.libraries.timm import timm_network
from senet_train.networks.libraries.torchvision import torchvision_network
from senet_train.training.loggers import LOGGERS
from senet_train.training.optimizers import OPTIMIZERS
from senet_train.training.schedule import SCHEDULES
from senet_train.training.tasks.task import SCENE_SOURCES

CONF = Path(__file__).parents[2] / "conf"
SCHEMAS = {"data": Data, "optim": Optim, "placement": Placement, "trainer": Trainer, "": Config}
TABLES: dict[str, dict[str, Callable[..., Any]]] = {
    "attention": ATTENTIONS,
    "data": {**SOURCES, **SCENE_SOURCES},
    "logger": LOGGERS,
    "model": BACKBONES,
    "optim": OPTIMIZERS,
    "optim.schedule": SCHEDULES,
}
LIBRARIES = {
    "torchvision": lambda: torchvision_network("resnet18"),
    "timm": lambda: timm_network("resnet18"),
}
GROUPS = {
    "task": "What is asked of an image.",
    "data": "Which images. `data=NAME` chooses one of these files.",
    "model": "Which network. `model=se_NAME` is exactly `model=NAME attention=se`.",
    "attention": "What sits in the network's blocks.",
    "optim": "The optimizer, the loss and the schedule.",
    "optim/schedule": "How the learning rate moves. `optim/schedule=NAME` chooses one.",
    "recipe": "Optimizer, schedule, length and augmentation together. `recipe=NAME` chooses one.",
    "trainer": "How long a run trains, on what, and in which numbers.",
    "logger": "Where curves go besides `metrics.csv`. `logger=NAME` chooses one.",
}
# Keys that are more than their type: sweeps read them before the schema does.
OF_SWEEPS = {
    "seeds": "whole number, list of whole numbers, or `auto`",
    "first_seed": "whole number",
    "max_seeds": "whole number from 1 on",
    "arms": "list of lists of settings",
}


def settings_page() -> str:
    """The whole page."""
    introduction = (
        "Every setting of `senet-train`, with its default and what the file in `conf/` says of "
        "it. A default in `${...}` is taken or computed from other settings. On the command line "
        "a setting is `key=value`, and a file of a group is `group=name`."
    )
    parts = ["## Of every run", keys_table("", CONF / "config.yaml")]
    for group, words in GROUPS.items():
        parts += [f"## {group}", words, *group_parts(group)]
    return page("Settings", introduction, *parts, *sweep_parts())


def group_parts(group: str) -> list[str]:
    """A heading, the header and a table for each file of the group."""
    parts: list[str] = []
    for file in sorted((CONF / group).glob("*.yaml")):
        if group == "model" and file.stem.startswith("se_"):
            continue  # its network with attention=se
        said = escaped(" ".join(header_of(file)))
        parts.append(f"### `{group}={file.stem}`")
        parts += [said] if said else []
        parts.append(keys_table(group.replace("/", "."), file))
    return parts


def keys_table(group: str, file: Path) -> str:
    """A row for each key of a file."""
    keys = keys_of(file)
    if group and not sets_other_groups(file):
        keys = [replace(key, path=f"{group}.{key.path}") for key in keys]
    values = {key.path: key.value for key in keys}
    types = types_of(group, values.get(f"{group}.name", ""), values.get(f"{group}.library", ""))
    return table(("key", "default", "type", "what it does"), [row(key, types) for key in keys])


def row(key: Key, types: dict[str, str]) -> tuple[str, str, str, str]:
    """A key as it is typed on the command line, its default, type and comment."""
    words = of_schema(key.path) or types.get(key.path, "") or of_value(key.value)
    return f"`{key.path}`", f"`{key.value}`", words, escaped(key.comment)


def types_of(group: str, name: str, library: str) -> dict[str, str]:
    """The types of the options of one constructor, by their keys."""
    if library in LIBRARIES:
        constructor: Callable[..., Any] | None = LIBRARIES[library]()
    else:
        constructor = TABLES.get(group, {}).get(name)
    if constructor is None:
        return {}
    parameters = inspect.signature(constructor, eval_str=True).parameters.values()
    return {
        f"{group}.{p.name}": type_words(p.annotation)
        for p in parameters
        if p.annotation is not p.empty
    }


def of_schema(path: str) -> str:
    """The type that the schema of the configuration has for a key, "" if it has none."""
    if path in OF_SWEEPS:
        return OF_SWEEPS[path]
    group, _, key = path.rpartition(".")
    found = hints_of(SCHEMAS[group]).get(key) if group in SCHEMAS else None
    return "" if found is None or is_dataclass(found) else type_words(found)


def of_value(value: str) -> str:
    """The type of a default, for keys that choose a file's constructor."""
    return type_words(type(yaml.safe_load(value)))


def hints_of(owner: type) -> dict[str, Any]:
    """The annotations of a dataclass with their limits."""
    return get_type_hints(owner, include_extras=True)
