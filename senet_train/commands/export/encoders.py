"""The formats: each encoder writes a run as one file, and reads the file back as a user would.

The packages of a format are imported only where it is written.
"""

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from senet_train.commands.export.pipeline import (
    BATCH,
    INPUT,
    OUTPUTS,
    Pipeline,
    example_images,
    silence,
    traced,
)
from senet_train.errors import InputError
from senet_train.runs.trained.load import Trained
from senet_train.runs.trained.load_safetensors import load_safetensors

Forward = Callable[[Tensor], Tensor]  # uint8 images (B, H, W, 3) -> logits (B, num_classes)


class Encoder(Protocol):
    """Writes one format and reads it back."""

    folded: bool  # whether the file is of the pipeline with its BatchNorms folded

    def encode(self, pipeline: Pipeline, run: Trained, metadata: Mapping[str, str]) -> bytes:
        """The file's content. Raises InputError for a network that the format cannot hold."""

    def reader(self, content: bytes) -> Forward:
        """The forward pass of the file, computed from its content alone."""


class Onnx:
    """An ONNX file, run by ONNX Runtime on the CPU."""

    folded = True

    def encode(self, pipeline: Pipeline, run: Trained, metadata: Mapping[str, str]) -> bytes:
        try:
            with silence():
                program = torch.onnx.export(
                    pipeline,
                    (example_images(run),),
                    dynamo=True,
                    verbose=False,
                    input_names=[INPUT],
                    output_names=list(OUTPUTS),
                    dynamic_shapes=({0: BATCH},),
                )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise InputError(f"{run.label} cannot be exported to ONNX: {reason}") from error
        assert program is not None
        for node in program.model.graph:
            node.metadata_props.clear()  # stack traces, with the folders of this machine
        program.model.metadata_props.update(metadata)
        content: bytes = program.model_proto.SerializeToString()
        return content

    def reader(self, content: bytes) -> Forward:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])

        def logits(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0])

        return logits


class TorchExport:
    """A program of `torch.export`, which torch alone runs, without our code."""

    folded = True

    def encode(self, pipeline: Pipeline, run: Trained, metadata: Mapping[str, str]) -> bytes:
        program = traced(pipeline, run)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it names the folders of this machine
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={"senet.json": json.dumps(metadata)})
        return file.getvalue()

    def reader(self, content: bytes) -> Forward:
        program = torch.export.load(io.BytesIO(content)).module()

        def logits(images: Tensor) -> Tensor:
            with torch.no_grad():
                output: Tensor = program(images)[0]
            return output

        return logits


class Safetensors:
    """The run's weights, in a file from which `load_safetensors` builds the network again.

    Not folded: the tensors have the names of our networks, and can be trained further.
    """

    folded = False

    def encode(self, pipeline: Pipeline, run: Trained, metadata: Mapping[str, str]) -> bytes:
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in run.model.state_dict().items()}
        return save(tensors, metadata=dict(metadata))

    def reader(self, content: bytes) -> Forward:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "run.safetensors"
            file.write_bytes(content)
            run = load_safetensors(file)

        def logits(images: Tensor) -> Tensor:
            with torch.no_grad():
                output: Tensor = run.model(run.preprocess.normalise(images))
            return output

        return logits


# By what `--format` may say; `FORMATS` in cli.py has their suffixes.
ENCODERS: dict[str, Encoder] = {
    "onnx": Onnx(),
    "torch-export": TorchExport(),
    "safetensors": Safetensors(),
}
