"""What a run was given, as it wrote it down first: config.yaml, classes.json and weights.json.

A stranger may have written the files of a run that is read. They are data: YAML is loaded safely,
nothing is interpolated, and what is not of the expected form is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from senet_train.config.read import read_tree
from senet_train.config.schema import Config
from senet_train.errors import InputError
from senet_train.runs.folder import BEST
from senet_train.runs.identity import as_tree
from senet_train.system.files import write_json, write_text
from senet_train.system.foreign_files import SMALL, TREE, BadFile, read_bytes, read_json
from senet_train.system.listing import entries_of

CONFIG_FILE, CLASSES_FILE, WEIGHTS_FILE = "config.yaml", "classes.json", "weights.json"
MOST_CONFIG_BYTES = 8 << 20  # the names of 12,000 classes took 1.2 MB


def write_config(run: Path, config: Config) -> None:
    """Write config.yaml, in which nothing automatic is left, to the folder `run`."""
    write_text(run / CONFIG_FILE, OmegaConf.to_yaml(as_tree(config)))


def read_config_file(file: Path) -> Config:
    """The configuration in a run's config.yaml. Raises InputError for anything else."""
    content = read_bytes(file, MOST_CONFIG_BYTES)
    try:
        tree = yaml.load(content, NoAliases)
    # Beside its own errors yaml raises those of int(), of dates and of its own lookups.
    except Exception as error:
        raise InputError(f"{file} is no plain YAML ({error}): not read further") from error
    if not isinstance(tree, dict):
        raise InputError(f"{file} is no run's configuration: it holds no keys")
    try:
        return read_tree(tree)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


class NoAliases(yaml.SafeLoader):
    """Loads plain data without aliases: aliases of aliases expand a few lines to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse `*name`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases")
        return super().compose_node(parent, index)


def write_class_names(run: Path, names: Sequence[str]) -> None:
    """Write classes.json, the names in the order of the logits."""
    write_json(run / CLASSES_FILE, list(names))


def read_class_names(file: Path) -> list[str]:
    """The names in a run's classes.json. Raises InputError if it is no list of names."""
    try:
        names: list[str] = TypeAdapter(list[str]).validate_python(read_json(file, TREE))
    except ValidationError as error:
        raise InputError(f"{file} is no list of class names: {error}") from error
    return names


def write_weights_origin(run: Path, *, file: str, sha256: str) -> None:
    """Write weights.json: the file of the pretrained weights that the run starts from."""
    write_json(run / WEIGHTS_FILE, {"file": file, "sha256": sha256})


def read_weights_sha256(run: Path) -> str:
    """The sha256 of the pretrained weights; "" for a run that did not write where they are from.

    Raises InputError for a damaged file.
    """
    file = run / WEIGHTS_FILE
    try:
        return str(read_json(file, SMALL)["sha256"])
    except FileNotFoundError:
        return ""
    except (KeyError, TypeError) as error:
        raise BadFile(file, "it has no sha256") from error


def only_seed(path: Path) -> Path:
    """The folder of the one run of an arm's folder; any other folder as it is.

    Raises InputError for an arm with several runs.
    """
    if (path / CONFIG_FILE).is_file():
        return path
    if not path.is_dir():
        return path
    seeds = [path / e.name for e in entries_of(path) if e.name.startswith("seed")]
    runs = sorted(seed for seed in seeds if (seed / CONFIG_FILE).is_file())
    if len(runs) > 1:
        shown = ", ".join(run.name for run in sorted(runs, key=lambda run: (len(run.name), run)))
        raise InputError(f"{path} has several runs, {shown}: give one of them, {runs[0]}")
    return runs[0] if runs else path


def find_run(path: Path, checkpoint: str = BEST) -> tuple[Path, Path]:
    """The folder of the run `path`, or of a checkpoint in it; and its checkpoint file.

    Raises InputError.
    """
    path = path.expanduser()
    if path.suffix == ".ckpt" and path.is_file():
        folder, file = path.parent.parent, path
    else:
        folder = only_seed(path)
        file = folder / "checkpoints" / checkpoint
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{path} is no run: give the folder that holds config.yaml and checkpoints/, "
            "such as outputs/digits/se_resnet18-r16-36a65738/seed0"
        )
    if not file.is_file():
        raise InputError(f"{folder} has no {file.name} yet: train the run, or give another")
    return folder, file
