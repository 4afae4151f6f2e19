"""The typed configuration: what a run may be asked, and one line for whatever it may not.

DictConfig stops here. A group whose options differ by name (data, model, attention, schedule) is
a `Choice`; its options are checked against the named constructor's signature in `options.py`.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.errors import InputError

STRICT = ConfigDict(extra="forbid", strict=True)

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Precision = Literal["auto", "bf16-mixed", 32]
Accelerator = Literal["auto", "cpu", "gpu"]
Kernel = Literal["auto", "folded", "joined", "composed"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

SWEEP_KEYS = ("arms", "seeds", "max_seeds")


@dataclass(frozen=True, config=STRICT)
class Choice:
    """One named option of a group and the keyword arguments its constructor gets.

    `library` is whose name it is: "" for ours.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    library: str = ""

    @property
    def title(self) -> str:
        """The name, with the library's where that is not ours."""
        return f"{self.library}_{self.name}" if self.library else self.name


@dataclass(frozen=True, config=STRICT)
class Data:
    """How any data set is split, stored, augmented and batched; `source` is the data set."""

    source: Choice
    image_size: Count
    num_classes: Literal["auto"] | Count
    mean: Annotated[list[Number], Field(min_length=3, max_length=3)]
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    crop: Literal["none", "pad", "resized"]
    padding: Natural
    flip: bool
    cutout: Natural
    batch_size: Count
    val_fraction: Fraction
    split_seed: Seed
    cache: Literal["auto", "memory", "stream"]
    workers: Natural


@dataclass(frozen=True, config=STRICT)
class Placement:
    """Where attention sits: in which stages, at which position of a block, from which width on.

    `modules` is a pattern of module paths to put it behind instead, or `auto`; `part` the part of a
    detector or segmenter that it goes into, or `auto`, its backbone.
    """

    stages: Literal["all", "but_last"] | list[Count] = "all"
    position: Literal["standard", "pre", "post", "identity", "inner", "stage"] = "standard"
    min_channels: Count = 1
    modules: Annotated[str, Field(min_length=1)] = "auto"
    part: Annotated[str, Field(min_length=1)] = "auto"


@dataclass(frozen=True, config=STRICT)
class Optim:
    """SGD, what it minimises, what it moves, and how its learning rate does."""

    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NotNegative
    decay_norm_and_bias: bool
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    warmup_epochs: NotNegative
    schedule: Choice
    frozen: Literal["none", "backbone"] = "none"
    backbone_lr_factor: Positive = 1.0


@dataclass(frozen=True, config=STRICT)
class Trainer:
    """How long, on what, and in which numbers."""

    max_epochs: Count
    precision: Precision
    deterministic: bool
    channels_last: bool
    kernel: Kernel
    ema_decay: Literal["none"] | Fraction
    clip_norm: Literal["none"] | Positive
    accelerator: Accelerator
    devices: Count
    checkpoint_minutes: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class Config:
    """All that a run is."""

    data: Data
    model: Choice
    attention: Choice
    placement: Placement
    optim: Optim
    trainer: Trainer
    ratio: Count
    seed: Seed
    factor: list[str]
    output_dir: Annotated[str, Field(min_length=1)]
    overwrite: bool
    retry: Literal["none", "failed"]
    dry_run: bool
    task: Literal["classification", "segmentation", "detection"] = "classification"


def config_dir() -> str:
    """The conf/ folder: inside the package when installed, beside it in a checkout."""
    packaged = Path(__file__).parent / "conf"
    return str(packaged if packaged.is_dir() else Path(__file__).parent.parent / "conf")


def stem_for(image_size: object) -> str:
    """The stem that suits an image size: an ImageNet stem leaves 1 pixel of a 32 px image."""
    return "imagenet" if isinstance(image_size, int) and image_size > 64 else "cifar"


def crop_for(image_size: object) -> str:
    """The usual training crop for an image size: padded for CIFAR's, resized for ImageNet's."""
    return "resized" if isinstance(image_size, int) and image_size > 64 else "pad"


def identity_for(pretrained: object) -> bool:
    """Whether attention starts as the identity: in a network that has learnt something it does."""
    return pretrained is not False


def mode_for(seeds: Any, arms: Any, seed: Any) -> str | None:
    """`MULTIRUN` for a preset with arms or for more seeds than one, so that no -m is needed."""
    return "MULTIRUN" if arms or seeds != [seed] else None


def register_resolvers() -> None:
    """Make the functions above available to conf/; they compute and never refuse."""
    OmegaConf.register_new_resolver("mode_for", mode_for, replace=True)
    OmegaConf.register_new_resolver("stem_for", stem_for, replace=True)
    OmegaConf.register_new_resolver("crop_for", crop_for, replace=True)
    OmegaConf.register_new_resolver("identity_for", identity_for, replace=True)


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
        tree.pop(key, None)  # the sweeper's: a run knows its own arm and seed alone
    data = dict(tree.get("data") or {})
    common = {key: data.pop(key) for key in list(data) if key in Data.__dataclass_fields__}
    tree["data"] = {**common, "source": as_choice(data, "data")}
    tree["model"] = as_choice(tree.get("model"), "model")
    tree["attention"] = as_choice(tree.get("attention"), "attention")
    optim = dict(tree.get("optim") or {})
    tree["optim"] = {**optim, "schedule": as_choice(optim.get("schedule"), "optim.schedule")}
    try:
        # JSON mode: in Python mode a strict dataclass accepts only an instance of itself.
        return TypeAdapter(Config).validate_json(json.dumps(tree))
    except ValidationError as error:
        raise InputError(explain(error, tree)) from None


def as_choice(node: Any, where: str) -> dict[str, Any]:
    """`{name: x, a: 1}` -> `{name: x, options: {a: 1}}`."""
    if not isinstance(node, Mapping) or "name" not in node:
        raise InputError(f"{where} needs a name: choose one of the group's options, {where}=...")
    options = {key: value for key, value in node.items() if key not in ("name", "library")}
    return {"name": node["name"], "options": options, "library": node.get("library", "")}


def refuse_targets(node: Any, path: str) -> None:
    """Configurations name things of ours; one that asks for an import is refused, not obeyed."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if str(key).startswith("_") and str(key).endswith("_"):
                raise InputError(f"{path}{key} is not obeyed here: name one of the options instead")
            refuse_targets(value, f"{path}{key}.")


def refuse_code(folder: Path) -> None:
    """Refuse a stranger's configuration folder that would have Hydra run something.

    Hydra obeys callbacks and launchers before our code sees the configuration. Raises InputError.
    """
    for file in sorted(folder.rglob("*.yaml")):
        try:
            content = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{file} is no YAML: {error}") from error
        found = {"_target_", "callbacks", "env_set"} & set(keys_of(content))
        if found:
            raise InputError(f"{file} sets {', '.join(sorted(found))}, which runs code: remove it")


def keys_of(node: Any) -> Iterator[str]:
    """Every key at any depth, and the parts of dotted ones."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from str(key).split(".")
            yield from keys_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys_of(value)


def explain(error: ValidationError, tree: Mapping[str, Any], prefix: str = "") -> str:
    """The first thing that is wrong, in one line: `key=value: rule`."""
    first, *rest = error.errors()
    path = known_path(first["loc"], tree)
    key = (prefix + ".".join(map(str, path))).replace(".options.", ".").replace(".source.", ".")
    if first["type"] == "missing":
        return f"{key}.{first['loc'][len(path)]} is not set: give it a value".lstrip(".")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"there is no key {key}{suggestion(str(path[-1]), ())}"
    rules = [e["msg"] for e in (first, *rest) if e["loc"][: len(path)] == first["loc"][: len(path)]]
    rule = " or ".join(dict.fromkeys(rule.replace("Input should be", "must be") for rule in rules))
    return f"{key}={first['input']}: {rule}"


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


def known_keys() -> list[str]:
    """Every key of the schema, dotted, for suggestions."""
    groups: dict[str, Any] = {
        "data": Data,
        "placement": Placement,
        "optim": Optim,
        "trainer": Trainer,
    }
    inner = [f"{group}.{f.name}" for group, schema in groups.items() for f in fields(schema)]
    return [
        *(f.name for f in fields(Config)),
        *SWEEP_KEYS,
        *inner,
        "attention.ratio",
        "attention.bias",
        "attention.identity",
        "model.pretrained",
    ]


def unknown_key(error: Exception) -> str:
    """The key that Hydra says does not exist; "" if the error is another."""
    found = re.match("Could not override '([^']+)'", str(error))
    return found[1].partition("@")[0] if found else ""


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`: did you mean x?` for the closest choice, or the choices themselves if they are few."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f": did you mean {close[0]}?"
    return f": choose one of {', '.join(known)}" if 0 < len(known) < 20 else ""
