"""A run's folder -> its network with the trained weights, its preprocessing, its class names.

Everything in the folder is data. Names are looked up in our tables, checkpoints hold plain tensors
(`weights_only=True`), YAML is loaded safely, nothing is interpolated, and a link that leads out of
the folder is not followed. The weights must fit the network before memory is allocated for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from senet_train.backbones.slots import Backbone
from senet_train.config.schema import Config
from senet_train.errors import InputError
from senet_train.networks.insertion import Slot
from senet_train.runs.checkpoint_files import read_checkpoint
from senet_train.runs.folder import BEST
from senet_train.runs.inputs import (
    CLASSES_FILE,
    CONFIG_FILE,
    find_run,
    read_class_names,
    read_config_file,
)
from senet_train.runs.network import NetworkBuilder
from senet_train.runs.record import RunRecord, read_record
from senet_train.runs.trained.preprocess import Preprocess
from senet_train.system.foreign_files import refuse_packed

MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Trained:
    """A trained run, loaded: `model` is in evaluation mode, on the CPU.

    `record` is None while the run has not finished. `class_names` are in the order of the logits.
    """

    path: Path
    label: str
    config: Config
    model: Backbone
    slots: list[Slot]
    preprocess: Preprocess
    class_names: tuple[str, ...]
    record: RunRecord | None


def load_run(path: str | Path, *, checkpoint: str = BEST) -> Trained:
    """The run in the folder `path`. It may also be a checkpoint file in the folder of a run.

    `checkpoint` is the name of the file in the run's `checkpoints/`. Raises InputError if there is
    no run, or one that is damaged or that would make us do anything but read.
    """
    folder, file = find_run(Path(path), checkpoint)
    config = read_classifier_config(inside(folder, folder / CONFIG_FILE))
    weights = read_weights(inside(folder, file))
    model, slots, label = build(config, weights, file)
    record = folder / "result.json"
    return Trained(
        path=folder,
        label=label,
        config=config,
        model=model,
        slots=slots,
        preprocess=Preprocess.of(config.data),
        class_names=class_names_of(folder, config),
        record=read_record(inside(folder, record)) if record.exists() else None,
    )


def inside(folder: Path, file: Path) -> Path:
    """`file`, if it is in the run's folder after links are followed. Raises InputError."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{file} leads out of the run's folder, to {file.resolve()}: not followed")
    return file


def read_classifier_config(file: Path) -> Config:
    """The configuration of a run of task=classification. Raises InputError for anything else."""
    config = read_config_file(file)
    if config.task != "classification":
        raise InputError(
            f"{file} is of task={config.task}, and this is for classifiers: its predictions are in "
            "predictions.npz and predictions.png, and senet-compare reads it"
        )
    return config


def read_weights(file: Path) -> dict[str, Tensor]:
    """The state_dict of the network in a checkpoint. Raises InputError."""
    refuse_packed(file)
    try:
        checkpoint = read_checkpoint(file, mmap=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{file} is no checkpoint of plain tensors ({error}): not read") from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{file} holds no state_dict of tensors: give a checkpoint of senet-train")
    return {str(name).removeprefix("network."): tensor for name, tensor in state.items()}


def build(
    config: Config, weights: dict[str, Tensor], file: Path
) -> tuple[Backbone, list[Slot], str]:
    """The network with these weights, its filled slots, its label. Raises InputError.

    It is built on the meta device first: a configuration must not make us allocate more memory than
    its weights fill.
    """
    num_classes = config.data.num_classes
    if num_classes == "auto" or num_classes > MOST_CLASSES:
        raise InputError(
            f"data.num_classes={num_classes} is no number of classes of a run: "
            f"choose one of 1 to {MOST_CLASSES}"
        )
    builder = NetworkBuilder.of(config, load_weights=False)
    planned = builder.build_on_meta(num_classes)
    wanted = {name: tuple(tensor.shape) for name, tensor in planned.network.state_dict().items()}
    refuse_misfit(wanted, weights, file)
    model, slots = builder.build(num_classes)
    model.load_state_dict(weights)
    return model.eval(), slots, planned.label


def refuse_misfit(wanted: dict[str, Any], weights: dict[str, Tensor], file: Path) -> None:
    """Raises InputError if the names or shapes of the weights are not those of the network."""
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in (*wanted, *given):
        if wanted.get(name) != given.get(name):
            raise InputError(
                f"{file} does not fit the run's configuration: {name} is "
                f"{given.get(name, 'missing')}, the network's {wanted.get(name, 'not there')}"
            )


def class_names_of(folder: Path, config: Config) -> tuple[str, ...]:
    """The names in classes.json, or for a run from before that file the data's list, or numbers.

    Raises InputError for a list that does not fit the network.
    """
    file = folder / CLASSES_FILE
    names: Iterable[str] = config.data.source.options.get("classes", ())
    if file.exists():
        names = read_class_names(inside(folder, file))
    elif isinstance(names, str) or not names:
        names = map(str, range(int(config.data.num_classes)))
    given = [without_control_characters(str(name)) for name in names]
    if len(given) > int(config.data.num_classes):
        raise InputError(
            f"{folder} names {len(given)} classes and its network has "
            f"{config.data.num_classes}: they are of two runs"
        )
    unused = range(len(given), int(config.data.num_classes))  # logits without a class in the data
    return (*given, *(f"unused {number}" for number in unused))


def without_control_characters(name: str) -> str:
    """A class name from anybody's file, at most 200 characters, safe to print in a terminal."""
    return "".join(c if c.isprintable() else "?" for c in name)[:200]
