"""Which keys and options the files of conf/ have: for messages about a word that is neither."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from senet_train.config.resolvers import config_dir

OVERLAY: dict[str, Any] = {}  # such as model=se_resnet18, which sets model and attention
NOT_OF_THE_TREE = (
    "hydra",
    "experiment",
    "recipe",
    "task",
)  # groups whose files set keys of other groups


@cache
def keys_of_conf() -> dict[str, list[str]]:
    """Every dotted key -> the settings that bring it: `data.root` -> `["data=imagenet_subset"]`.

    Empty for a key that is there whatever is chosen.
    """
    base = Path(config_dir())
    found: dict[str, list[str]] = {key: [] for key in flat(read(base / "config.yaml"))}
    for group, options in groups_of_conf().items():
        contents = {option: read(base / group / f"{option}.yaml") for option in options}
        owners: dict[str, list[str]] = {}
        for option, content in contents.items():
            for key in flat(content, group.replace("/", ".")):
                owners.setdefault(key, []).append(f"{group}={option}")
        most = sum(content is not OVERLAY for content in contents.values())
        found |= {key: [] if len(own) == most else own for key, own in owners.items()}
    return found


@cache
def groups_of_conf() -> dict[str, list[str]]:
    """Group -> its options: `data` -> `["cifar10", ...]`; `optim/schedule` as well."""
    base = Path(config_dir())
    found: dict[str, list[str]] = {}
    for file in sorted(base.rglob("*.yaml")):
        group = file.parent.relative_to(base).as_posix()
        if group != "." and group.split("/")[0] not in NOT_OF_THE_TREE:
            found.setdefault(group, []).append(file.stem)
    return found


def read(file: Path) -> dict[str, Any]:
    """A file of conf/ without Hydra's own settings; OVERLAY for one that sets several groups."""
    text = file.read_text(encoding="utf-8")
    if text.startswith("# @package _global_"):
        return OVERLAY
    content = yaml.safe_load(text) or {}
    left_out = {"hydra", "defaults", "library", *([] if "library" in content else ["name"])}
    return {key: value for key, value in content.items() if key not in left_out}


def flat(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The dotted keys of the leaves; a list is one."""
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from flat(value, name)
        else:
            yield name
