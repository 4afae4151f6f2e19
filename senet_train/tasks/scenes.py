"""What tasks on scenes, images with things in them, have in common."""

from collections.abc import Mapping

from senet_train.config import Config
from senet_train.data.shapes import shapes_source
from senet_train.errors import InputError

# What draws scenes, and what counts them: their versions are a run's.
SCENE_PACKAGES = ("pillow", "torchmetrics")
SCENE_SOURCES = {"shapes": shapes_source}  # what `data.name` may say


def refuse_settings(config: Config, further: Mapping[str, object]) -> None:
    """Raises InputError for a setting that moves pixels alone, or that classifiers alone follow.

    `further` are the task's own: a key of the configuration and the one value it may have.
    """
    only = {
        "data.crop": "none",
        "data.cutout": 0,
        "data.padding": 0,
        "optim.frozen": "none",
        "optim.backbone_lr_factor": 1.0,
        "trainer.devices": 1,
        **further,
    }
    for key, value in only.items():
        group, _, name = key.partition(".")
        given = getattr(getattr(config, group), name)
        if given != value:
            raise InputError(f"{key}={given} is not for task={config.task}: choose {key}={value}")
