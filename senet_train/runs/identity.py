"""What makes two runs the same run: an allow-list of the configuration, and its hash.

A run lives in `<output_dir>/<data>/<label>-<first 8 digits of the hash>/seed<N>/`.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from senet_train.config.schema import EARLIER_OPTIMIZER, Choice, Config

# Keys that change no number of a run, or whose effect is in the fingerprint of the data (root,
# exclude). Every key is here or in the identity: a test compares.
LOCAL_DATA_KEYS = ("root", "exclude", "workers", "download", "cache")
LOCAL_TRAINER_KEYS = ("channels_last", "kernel", "accelerator", "devices", "checkpoint_minutes")
LOCAL_KEYS = ("ratio", "seed", "factor", "output_dir", "overwrite", "retry", "dry_run", "logger")
# Added after the first runs were made: options of attention, and settings of the optimizer and of
# the data with the value that those runs had.
LATER_OPTIONS = ("identity",)
LATER_DATA = {
    "fit": "crop",
    "bit_depth": 16,
    "test_images_per_class": "all",
    "test_fraction": 0.2,
    "augment": "standard",
    "mixup": "none",
    "cutmix": "none",
    "sampling": "shuffle",
    "test_size": "auto",
    "test_resize": "auto",
    "test_flips": "none",
    "padding_mode": "zeros",
}
LATER_OPTIM = {
    "name": EARLIER_OPTIMIZER,
    "frozen": "none",
    "backbone_lr_factor": 1.0,
    "layer_decay": 1.0,
    "accumulate": 1,
    "class_weights": "none",
    "class_weights_beta": 0.999,
    "focal_gamma": 0.0,
}
LATER_TRAINER = {"score": "auto", "patience": "none", "max_minutes": "none"}
LONGEST_LABEL = 160  # of the 255 bytes that a name may have
TRAINER_KEYS = (
    *("max_epochs", "precision", "deterministic", "ema_decay", "clip_norm"),
    *LATER_TRAINER,
)


@dataclass(frozen=True)
class Identity:
    """What is hashed, its hash, and the readable label in the name of the folder."""

    content: dict[str, Any]
    sha256: str
    label: str

    @property
    def arm(self) -> str:
        """The name of the folder that holds the runs of all seeds."""
        return f"{self.label}-{self.sha256[:8]}"


def identify(config: Config, data_fingerprint: str, label: str) -> Identity:
    """The identity of a configuration in which every `auto` is resolved."""
    tree = as_tree(config)
    data = data_of_recipe(tree["data"])
    placement = {key: value for key, value in tree["placement"].items() if value != "auto"}
    content = {
        "data": data,
        "data_fingerprint": data_fingerprint,
        "model": tree["model"],
        "attention": tree["attention"],
        "placement": {} if config.attention.name == "none" else placement,
        "optim": drop_later_optim(tree["optim"]),
        "trainer": identifying_trainer(tree["trainer"]),
    }
    if config.task != "classification":  # left out, as before there were other tasks
        content["task"] = config.task
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Identity(content, hashlib.sha256(canonical.encode()).hexdigest(), label)


def data_of_recipe(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the data that change numbers, without later ones at their default value."""
    return {
        key: value
        for key, value in data.items()
        if key not in LOCAL_DATA_KEYS and value != LATER_DATA.get(key)
    }


def drop_later_optim(optim: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the optimizer, without later ones at their default value."""
    return {key: value for key, value in optim.items() if value != LATER_OPTIM.get(key)}


def identifying_trainer(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's settings of the identity, without later ones at their default value.

    Raises KeyError if an earlier one is missing.
    """
    given = {**LATER_TRAINER, **trainer}
    return {key: given[key] for key in TRAINER_KEYS if given[key] != LATER_TRAINER.get(key)}


def drop_later_options(attention: Choice, default_options: Mapping[str, Any]) -> Choice:
    """The choice without later options at their default: earlier runs keep their identity."""
    given = attention.options
    dropped = {key for key in LATER_OPTIONS if given.get(key) == default_options.get(key)}
    options = {key: value for key, value in given.items() if key not in dropped}
    return replace(attention, options=options)


def label_of(config: Config, default_options: Mapping[str, Any], every_stage: list[int]) -> str:
    """`resnet18`, `se_resnet18-r16`, `se_resnet18-r16-squeeze_max-pre-stages_34`.

    Options of the attention at their default, and the default placement, are not in the label.
    """
    if config.attention.name == "none":
        return config.model.title
    options = dict(config.attention.options)
    ratio = options.pop("ratio", None)
    words = [f"r{ratio}"] if ratio else []
    words += [
        f"{key}_{value}" for key, value in options.items() if value != default_options.get(key)
    ]
    where = config.placement
    words += [where.position] if where.position != "standard" else []
    words += [f"stages_{''.join(map(str, where.stages))}"] if where.stages != every_stage else []
    words += [f"from_{where.min_channels}"] if where.min_channels != 1 else []
    words += [f"in_{where.part}"] if where.part != "auto" else []
    words += [f"at_{where.modules}"] if where.modules != "auto" else []
    return as_file_name("-".join([f"{config.attention.name}_{config.model.title}", *words]))


def as_file_name(label: str) -> str:
    """The label in characters that any file system allows; the hash after it tells labels apart."""
    return re.sub(r"[^\w.+-]", "_", label, flags=re.ASCII)[:LONGEST_LABEL]


def as_tree(config: Config) -> dict[str, Any]:
    """The configuration as plain nested dicts, laid out as in conf/."""
    tree: dict[str, Any] = _plain(config)
    source = tree["data"].pop("source")
    tree["data"] = {**source, **tree["data"]}
    algorithm = tree["optim"].pop("algorithm")
    tree["optim"] = {**algorithm, **tree["optim"]}
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        library = {"library": value.library} if value.library else {}
        return {"name": value.name, **library, **value.options}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
