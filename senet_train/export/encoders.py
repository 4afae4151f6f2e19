"""A run in several formats, each compared with the run; only what a format needs is imported."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol

from torch import Tensor

from senet_train.export.check import largest_difference, refuse_unequal
from senet_train.export.deployed import Deployed, deployed
from senet_train.export.facts import facts_of
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


def encoded(run: Trained, formats: Sequence[str], tolerance: float) -> list[bytes]:
    """Each format's file, compared with the run; one line on each. Raises RunError."""
    model, folded = deployed(run)
    print(f"{run.label}: {folded}")
    contents = []
    for name in formats:
        content = encoder(name).encode(model, run, facts_of(run))
        difference = largest_difference(run, encoder(name).reader(content))
        refuse_unequal(difference, tolerance, name)
        print(f"{name}: logits differ from the run's by {difference:.2g} at most")
        contents.append(content)
    return contents
