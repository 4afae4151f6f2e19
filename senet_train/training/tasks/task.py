"""What a task has to define."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from senet_train.config.schema import Config
from senet_train.data.images import Source
from senet_train.data.shapes import shapes_source
from senet_train.errors import InputError
from senet_train.networks.bind import BindNetwork
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner

SCENE_PACKAGES = ("pillow",)  # it draws scenes: the record has its version
SCENE_SOURCES = {"shapes": shapes_source}  # what `data.name` may say


def refuse_settings(config: Config, further: Mapping[str, object]) -> None:
    """Raises InputError for a setting that only classification can follow.

    Some would move the pixels and not the boxes. `further` has more keys of the configuration, with
    the one value that each may have.
    """
    if config.data.augment != "standard":
        raise InputError(
            f"data.augment is not for task={config.task}, whose boxes and masks would have to "
            "follow: choose data.augment=standard"
        )
    only = {
        "data.crop": "none",
        "data.cutout": 0,
        "data.padding": 0,
        "data.mixup": "none",
        "data.cutmix": "none",
        "optim.frozen": "none",
        "optim.backbone_lr_factor": 1.0,
        "trainer.devices": 1,
        "trainer.score": "auto",
        "data.sampling": "shuffle",
        "data.test_size": "auto",
        "data.test_resize": "auto",
        "data.test_flips": "none",
        "data.padding_mode": "zeros",
        "optim.class_weights": "none",
        "optim.class_weights_beta": 0.999,
        "optim.focal_gamma": 0.0,
        **further,
    }
    for key, value in only.items():
        group, _, name = key.partition(".")
        given = getattr(getattr(config, group), name)
        if given != value:
            raise InputError(f"{key}={given} is not for task={config.task}: choose {key}={value}")


@dataclass(frozen=True)
class Task:
    """What a network learns, how it is evaluated, and what a run keeps of it.

    `sources` has the values of `data.name`. `refuse` raises InputError for a configuration that the
    task cannot follow. Of the best epoch's predictions for the test set `write_predictions` fills
    the run folder, and `draw` pictures for TensorBoard, once the record is written. `packages` are
    further packages that the numbers depend on. A task `compiles` if its network maps images of one
    shape to a tensor of one shape.
    """

    name: str
    bind_network: BindNetwork
    sources: Mapping[str, Callable[..., Source]]
    learner: type[Learner]
    refuse: Callable[[Config], None]
    write_predictions: Callable[[Any, Path, Any], None]
    draw: Callable[[Any, Journal, Any, Sequence[str], int], None]
    packages: tuple[str, ...] = ()
    compiles: bool = True
