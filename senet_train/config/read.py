"""Read a composed configuration into the schema; every mistake is an InputError of one line."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from senet_train.config.schema import (
    EARLIER_LOGGER,
    EARLIER_OPTIMIZER,
    SWEEP_KEYS,
    Config,
    Data,
    Optim,
)
from senet_train.config.suggest import no_such_key
from senet_train.config.typed_words import NAME_LIST_KEYS
from senet_train.errors import InputError

SIDES = "give a number from 1 on, the side of square images, or for files two, [height,width]"
SIZE_KEYS = {
    "data.image_size": SIDES,
    "data.test_size": f"{SIDES}, or auto",
    "data.test_resize": "give a number from 1 on, the shorter side, or auto",
}


def read_config(raw: DictConfig) -> Config:
    """The composed configuration, typed and checked. Raises InputError."""
    given = OmegaConf.to_container(raw, resolve=True)
    assert isinstance(given, dict)
    return read_tree({str(key): value for key, value in given.items()})


def read_tree(given: Mapping[str, Any]) -> Config:
    """The configuration laid out as in conf/, typed and checked. Raises InputError."""
    refuse_targets(given, "")
    tree = dict(given)
    for key in SWEEP_KEYS:
        tree.pop(key, None)  # for the sweeper: a run has one arm and one seed
    expand_home(tree)
    data = dict(tree.get("data") or {})
    common = {key: data.pop(key) for key in list(data) if key in Data.__dataclass_fields__}
    if "augment" in common:
        common["augment"] = augment_tree(common["augment"])
    tree["data"] = {**common, "source": as_choice(data, "data")}
    tree["model"] = as_choice(tree.get("model"), "model")
    tree["attention"] = as_choice(tree.get("attention"), "attention")
    tree["optim"] = optim_tree(dict(tree.get("optim") or {}))
    tree["logger"] = as_choice(tree.get("logger", {"name": EARLIER_LOGGER}), "logger")
    try:
        # JSON mode: in Python mode a strict dataclass accepts only an instance of itself.
        return TypeAdapter(Config).validate_json(json.dumps(tree))
    except ValidationError as error:
        raise InputError(explain(error, tree)) from None


PATHS = ("data.root", "data.exclude", "model.pretrained", "output_dir")


def expand_home(tree: dict[str, Any]) -> None:
    """`~/pictures` -> `/home/me/pictures`, in place: a shell leaves it so behind `data.root=`."""
    for path in PATHS:
        group, _, key = path.rpartition(".")
        node = dict(tree.get(group) or {}) if group else tree
        if isinstance(node.get(key), str):
            node[key] = os.path.expanduser(node[key])
            tree |= {group: node} if group else {}


def optim_tree(optim: dict[str, Any]) -> dict[str, Any]:
    """`{name: adamw, lr: 1, eps: 1}` -> `{lr: 1, algorithm: {name: adamw, options: {eps: 1}}}`.

    Before there were others, the optimizer had no name.
    """
    common = {*Optim.__dataclass_fields__} - {"algorithm"}
    shared = {key: optim.pop(key) for key in list(optim) if key in common}
    algorithm = as_choice({"name": EARLIER_OPTIMIZER, **optim}, "optim")
    schedule = as_choice(shared.get("schedule"), "optim.schedule")
    return {**shared, "algorithm": algorithm, "schedule": schedule}


def augment_tree(augment: Any) -> Any:
    """`trivial` -> `[{name: trivial}]`, and so the entries of a list; `standard` is itself."""
    alone = isinstance(augment, str | Mapping) and augment not in ("none", "standard")
    augment = [augment] if alone else augment
    if not isinstance(augment, list):
        return augment
    named = [{"name": one} if isinstance(one, str) else one for one in augment]
    further = [as_choice(one, "data.augment") for one in named if one != {"name": "standard"}]
    return "standard" if named and not further else further


def as_choice(node: Any, where: str) -> dict[str, Any]:
    """`{name: x, a: 1}` -> `{name: x, options: {a: 1}}`."""
    if isinstance(node, str):  # optim.schedule=cosine
        raise InputError(f"{where}={node} names an option: write {where.replace('.', '/')}={node}")
    if not isinstance(node, Mapping) or "name" not in node:
        group = where.replace(".", "/")
        raise InputError(f"{where} needs a name: choose one of the group's options, {group}=...")
    options = {key: value for key, value in node.items() if key not in ("name", "library")}
    return {"name": node["name"], "options": options, "library": node.get("library", "")}


def refuse_targets(node: Any, path: str) -> None:
    """Raises InputError for a key such as `_target_`: a configuration must not import code."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if str(key).startswith("_") and str(key).endswith("_"):
                raise InputError(f"{path}{key} is not obeyed here: name one of the options instead")
            refuse_targets(value, f"{path}{key}.")


def explain(error: ValidationError, tree: Mapping[str, Any], prefix: str = "") -> str:
    """The first error in one line: `key=value: rule`."""
    first, *rest = error.errors()
    path = known_path(first["loc"], tree)
    key = (prefix + ".".join(map(str, path))).replace(".options.", ".").replace(".source.", ".")
    key = key.replace("optim.algorithm.", "optim.")
    if first["type"] == "missing":
        return f"{key}.{first['loc'][len(path)]} is not set: give it a value".lstrip(".")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return no_such_key(key)
    if key in NAME_LIST_KEYS and (values := no_names(first["input"])):
        return (
            f"{key} has {values[0]}, which is no name: in a file put names that read as numbers or "
            'truth values in quotes, such as ["false", "1e3"]'
        )
    if key in SIZE_KEYS:
        return f"{key}={as_typed(first['input'])}: {SIZE_KEYS[key]}"
    rules = [e["msg"] for e in (first, *rest) if e["loc"][: len(path)] == first["loc"][: len(path)]]
    rule = " or ".join(dict.fromkeys(rule.replace("Input should be", "must be") for rule in rules))
    return f"{key}={as_typed(first['input'])}: {rule}"


def as_typed(value: Any) -> Any:
    """`null` for None, `true` for True, `"[1]"` for text like a list: as they are written."""
    like_list = isinstance(value, str) and value.startswith("[")
    return json.dumps(value) if value is None or isinstance(value, bool) or like_list else value


def no_names(value: Any) -> list[Any]:
    """What a list of names has that is neither text nor a whole number."""
    values = value if isinstance(value, list) else []
    return [v for v in values if isinstance(v, bool) or not isinstance(v, str | int)]


def known_path(loc: tuple[int | str, ...], tree: Any) -> list[int | str]:
    """The part of pydantic's location that names keys the user can see (not union branches)."""
    path: list[int | str] = []
    for part in loc:
        in_mapping = isinstance(tree, Mapping) and part in tree
        if not in_mapping and not (isinstance(tree, list) and isinstance(part, int)):
            break
        tree = tree[part]
        path.append(part)
    return path


def unknown_key(error: Exception) -> str:
    """The key that Hydra says does not exist; "" if the error is another."""
    found = re.match("Could not override '([^']+)'", str(error))
    return found[1].partition("@")[0] if found else ""
