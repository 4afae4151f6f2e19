"""A run as a program of `torch.export`, which torch alone runs, without our code."""

import io
import json
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from senet_train.commands.export.deployed import Deployed, traced
from senet_train.runs.trained.load import Trained

FACTS = "senet.json"  # the extra file inside


def encode(model: Deployed, run: Trained, facts: Mapping[str, str]) -> bytes:
    """The file's content. Raises InputError for a network that torch cannot export."""
    program = traced(model, run)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the folders of this machine
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={FACTS: json.dumps(facts)})
    return file.getvalue()


def reader(content: bytes) -> Callable[[Tensor], Tensor]:
    """uint8 images -> logits, by the program loaded again."""
    program = torch.export.load(io.BytesIO(content)).module()

    def logits(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = program(images)[0]
        return found

    return logits
