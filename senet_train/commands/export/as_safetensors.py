"""A run's weights as they are, in a safetensors file that `load_safetensors` makes a network of.

Not folded: the tensors have the names that they have in our networks, and can be trained further.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from senet_train.commands.export.deployed import Deployed
from senet_train.runs.trained.load import Trained
from senet_train.runs.trained.load_safetensors import load_safetensors


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
