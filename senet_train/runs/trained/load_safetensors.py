"""The run that `senet-export --format safetensors` wrote, loaded again."""

import json
from pathlib import Path

from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from senet_train.config.read import read_tree
from senet_train.errors import InputError
from senet_train.runs.trained.load import Trained, build, without_control_characters
from senet_train.runs.trained.preprocess import Preprocess


def load_safetensors(path: str | Path) -> Trained:
    """The run that `senet-export --format safetensors` wrote to the file, without its record.

    As of a stranger's run, only data are read. Raises InputError for any other file.
    """
    file = Path(path).expanduser()
    try:
        with safe_open(file, "pt") as opened:
            facts = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        config = read_tree(json.loads(facts["config"]))
        names = TypeAdapter(list[str]).validate_json(facts["class_names"])
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is no run as safetensors ({error!r})") from error
    model, slots, label = build(config, weights, file)
    preprocess = Preprocess.of(config.data)
    class_names = tuple(map(without_control_characters, names))
    return Trained(file, label, config, model, slots, preprocess, class_names, None)
