"""A run's weights as they are, in a safetensors file that `load_safetensors` makes a network of.

Not folded: the tensors have the names that they have in our networks, and can be trained further.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from senet_train.config import read_tree
from senet_train.errors import InputError
from senet_train.export.deployed import Deployed
from senet_train.trained.load import Trained, build, printable
from senet_train.trained.preprocess import Preprocess


def encode(model: Deployed, run: Trained, facts: Mapping[str, str]) -> bytes:
    """The file's content."""
    tensors = {name: tensor.contiguous() for name, tensor in run.model.state_dict().items()}
    return save(tensors, metadata=dict(facts))


def reader(content: bytes) -> Callable[[Tensor], Tensor]:
    """uint8 images -> logits, by the network loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.safetensors"
        file.write_bytes(content)
        run = load_safetensors(file)

    def logits(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = run.model(run.preprocess.normalise(images))
        return found

    return logits


def load_safetensors(path: str | Path) -> Trained:
    """The run that `senet-export --format safetensors` wrote to the file; its record stays behind.

    A stranger's file is data, as a stranger's run is. Raises InputError for any other file.
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
    class_names = tuple(map(printable, names))
    return Trained(file, label, config, model, slots, preprocess, class_names, None)
