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

from senet_train.config.schema import Choice, Config

# Keys that change no number of a run, or whose effect the data's fingerprint holds (root,
# exclude). Every key is here or in the identity: a test compares.
LOCAL_DATA_KEYS = ("root", "exclude", "workers", "download", "cache")
LOCAL_TRAINER_KEYS = ("channels_last", "kernel", "accelerator", "devices", "checkpoint_minutes")
LOCAL_KEYS = ("ratio", "seed", "factor", "output_dir", "overwrite", "retry", "dry_run")
LATER_OPTIONS = ("identity",)  # of attention, younger than the first runs
LATER_OPTIM = {"frozen": "none", "backbone_lr_factor": 1.0}  # what they were before they were there
LONGEST_LABEL = 160  # of the 255 bytes that a name may have
TRAINER_KEYS = ("max_epochs", "precision", "deterministic", "ema_decay", "clip_norm")


@dataclass(frozen=True)
class Identity:
    """The content of the hash, the hash, and the readable label of the folder's name."""

    content: dict[str, Any]
    sha256: str
    label: str

    @property
    def arm(self) -> str:
        """The name of the folder that holds the runs of all seeds."""
        return f"{self.label}-{self.sha256[:8]}"


def identify(config: Config, data_fingerprint: str, label: str) -> Identity:
    """The identity of a configuration in which nothing automatic is left."""
    tree = as_tree(config)
    data = {key: value for key, value in tree["data"].items() if key not in LOCAL_DATA_KEYS}
    placement = {key: value for key, value in tree["placement"].items() if value != "auto"}
    content = {
        "data": data,
        "data_fingerprint": data_fingerprint,
        "model": tree["model"],
        "attention": tree["attention"],
        "placement": {} if config.attention.name == "none" else placement,
        "optim": optim_as_ever(tree["optim"]),
        "trainer": {key: tree["trainer"][key] for key in TRAINER_KEYS},
    }
    if config.task != "classification":  # unsaid, as it was before there were others
        content["task"] = config.task
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Identity(content, hashlib.sha256(canonical.encode()).hexdigest(), label)


def optim_as_ever(optim: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer's settings without later ones at their default."""
    return {key: value for key, value in optim.items() if value != LATER_OPTIM.get(key)}


def written_as_ever(attention: Choice, usual: Mapping[str, Any]) -> Choice:
    """The choice without later options at their default: runs that lack them stay what they are."""
    idle = {key for key in LATER_OPTIONS if attention.options.get(key) == usual.get(key)}
    options = {key: value for key, value in attention.options.items() if key not in idle}
    return replace(attention, options=options)


def label_of(config: Config, usual: Mapping[str, Any], every_stage: list[int]) -> str:
    """`resnet18`, `se_resnet18-r16`, `se_resnet18-r16-squeeze_max-pre-stages_34`.

    `usual` holds the attention's default options: they go without saying, as does the usual
    placement.
    """
    if config.attention.name == "none":
        return config.model.title
    options = dict(config.attention.options)
    ratio = options.pop("ratio", None)
    words = [f"r{ratio}"] if ratio else []
    words += [f"{key}_{value}" for key, value in options.items() if value != usual.get(key)]
    where = config.placement
    words += [where.position] if where.position != "standard" else []
    words += [f"stages_{''.join(map(str, where.stages))}"] if where.stages != every_stage else []
    words += [f"from_{where.min_channels}"] if where.min_channels != 1 else []
    words += [f"in_{where.part}"] if where.part != "auto" else []
    words += [f"at_{where.modules}"] if where.modules != "auto" else []
    return legal("-".join([f"{config.attention.name}_{config.model.title}", *words]))


def legal(label: str) -> str:
    """What any file system takes as a name with a hash behind it; the hash tells labels apart."""
    return re.sub(r"[^\w.+-]", "_", label, flags=re.ASCII)[:LONGEST_LABEL]


def as_tree(config: Config) -> dict[str, Any]:
    """The configuration as plain nested dicts, laid out as in conf/."""
    tree: dict[str, Any] = _plain(config)
    source = tree["data"].pop("source")
    tree["data"] = {**source, **tree["data"]}
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        library = {"library": value.library} if value.library else {}
        return {"name": value.name, **library, **value.options}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value
