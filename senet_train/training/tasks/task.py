"""What the rest of the program asks of a task."""

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


@dataclass(frozen=True)
class Task:
    """One kind of question to a network.

    `sources` is what `data.name` may say, `refuse` raises InputError for a configuration that the
    task cannot follow, `keep` writes what the best epoch said of the test set into the run folder
    and the journal. `packages` are those besides the usual whose versions a run depends on.
    """

    name: str
    bind_network: BindNetwork
    sources: Mapping[str, Callable[..., Source]]
    learner: type[Learner]
    refuse: Callable[[Config], None]
    keep: Callable[[Any, Path, Journal, Any, Sequence[str], int], None]
    packages: tuple[str, ...] = ()
