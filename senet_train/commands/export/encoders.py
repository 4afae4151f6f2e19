"""A run in several formats, each compared with the run; only what a format needs is imported."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol

from torch import Tensor

from senet_train.commands.export.check import largest_difference, refuse_unequal
from senet_train.commands.export.deployed import Deployed, deployed
from senet_train.config.schema import Config
from senet_train.runs.identity import as_tree
from senet_train.runs.trained.load import Trained

PRIVATE = ("root", "exclude", "download")  # of data: where it lies on this machine


def facts_of(run: Trained) -> dict[str, str]:
    """The file's metadata."""
    facts = {
        "label": run.label,
        "class_names": json.dumps(run.class_names),
        "preprocessing": json.dumps(asdict(run.preprocess)),
        "config": json.dumps(portable(run.config)),
        "made_by": f"senet-train {version('senet-train')}",
    }
    record = run.record
    if record is not None:
        facts |= {
            "arm": record.arm,
            "identity": record.identity,
            "seed": str(record.seed),
            "data": str(run.config.data.source.name),
            "data_fingerprint": record.data_fingerprint,
            "metrics": json.dumps(asdict(record.metrics)),
            "metrics_precision": record.environment.precision,
        }
    return facts


def portable(config: Config) -> dict[str, Any]:
    """The configuration as in conf/, without this machine's folders; it can be read again."""
    tree = as_tree(config)
    tree["data"] = {key: value for key, value in tree["data"].items() if key not in PRIVATE}
    return {**tree, "output_dir": "outputs"}


class Encoder(Protocol):
    """A module that writes one format and reads it back as a stranger would."""

    def encode(self, model: Deployed, run: Trained, facts: Mapping[str, str]) -> bytes:
        """The file's content."""

    def reader(self, content: bytes) -> Callable[[Tensor], Tensor]:
        """uint8 images -> logits, computed from nothing but the content."""


MODULES = {"onnx": "as_onnx", "torch-export": "as_torch_export", "safetensors": "as_safetensors"}


def encoder(name: str) -> Encoder:
    """The module of the format."""
    return import_module(f"senet_train.commands.export.{MODULES[name]}")


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
