"""The folder conf/, and the resolvers that its files call, such as `${stem_for:...}`."""

from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf


def config_dir() -> str:
    """The conf/ folder: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parent.parent
    packaged = package / "conf"
    return str(packaged if packaged.is_dir() else package.parent / "conf")


def stem_for(image_size: object) -> str:
    """The default stem for an image size: an ImageNet stem leaves 1 pixel of a 32 px image."""
    return "imagenet" if is_large(image_size) else "cifar"


def crop_for(image_size: object) -> str:
    """The usual training crop for an image size: padded for CIFAR's, resized for ImageNet's."""
    return "resized" if is_large(image_size) else "pad"


def is_large(image_size: object) -> bool:
    """Whether the shorter side is longer than 64 pixels. What is no size is refused elsewhere."""
    sides = image_size if isinstance(image_size, ListConfig | list) else [image_size]
    return all(isinstance(side, int) and side > 64 for side in sides)


def identity_for(pretrained: object) -> bool:
    """Whether attention starts as the identity: it does in a pretrained network."""
    return pretrained is not False


def mode_for(seeds: Any, arms: Any, seed: Any, first_seed: Any) -> str | None:
    """`MULTIRUN` for a table, so that no -m is needed: arms, more seeds than one, a first seed."""
    return "MULTIRUN" if arms or seeds != [seed] or first_seed else None


def register_resolvers() -> None:
    """Register the functions above for conf/. They raise no errors."""
    OmegaConf.register_new_resolver("conf_folder", config_dir, replace=True)
    OmegaConf.register_new_resolver("mode_for", mode_for, replace=True)
    OmegaConf.register_new_resolver("stem_for", stem_for, replace=True)
    OmegaConf.register_new_resolver("crop_for", crop_for, replace=True)
    OmegaConf.register_new_resolver("identity_for", identity_for, replace=True)
