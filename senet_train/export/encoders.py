"""The formats' functions: packages of the extra are imported for the format that needs them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

from torch import Tensor

from senet_train.export.deployed import Deployed
from senet_train.trained.load import Trained


class Encoder(Protocol):
    """A module that writes one format and reads it back as a stranger would."""

    def encode(self, model: Deployed, run: Trained, facts: Mapping[str, str]) -> bytes:
        """The file's content."""

    def reader(self, content: bytes) -> Callable[[Tensor], Tensor]:
        """uint8 images -> logits, computed from nothing but the content."""


MODULES = {"onnx": "as_onnx", "torch-export": "as_torch_export", "safetensors": "as_safetensors"}


def encoder(name: str) -> Encoder:
    """The module of the format."""
    return import_module(f"senet_train.export.{MODULES[name]}")
