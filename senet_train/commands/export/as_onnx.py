"""A run as an ONNX file, run by ONNX Runtime."""

from collections.abc import Callable, Mapping

import onnxruntime
import torch
from torch import Tensor

from senet_train.commands.export.deployed import BATCH, INPUT, OUTPUTS, Deployed, example, silence
from senet_train.errors import InputError
from senet_train.runs.trained.load import Trained

ONLY_ERRORS = 3  # ONNX Runtime's severity


def encode(model: Deployed, run: Trained, facts: Mapping[str, str]) -> bytes:
    """The file's content. Raises InputError for a network that the exporter has no words for."""
    try:
        with silence():
            program = torch.onnx.export(
                model,
                (example(run),),
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
    program.model.metadata_props.update(facts)
    content: bytes = program.model_proto.SerializeToString()
    return content


def reader(content: bytes) -> Callable[[Tensor], Tensor]:
    """uint8 images -> logits, by ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_ERRORS
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def logits(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0])

    return logits
