"""The evaluation pipeline of a run, from pixels to probabilities: what an exported file computes.

Shapes: B batch, H height, W width.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from senet_train.commands.export.folding import fold, foldable
from senet_train.config.image_size import height_width
from senet_train.errors import InputError
from senet_train.runs.trained.load import Trained

INPUT = "images"
OUTPUTS = ("logits", "probabilities")
BATCH = "batch"  # the name of the dynamic dimension


class Pipeline(nn.Module):
    """Normalisation, network and softmax: uint8 pixels of the run's size -> logits, probabilities.

    uint8 because that is what every image reader returns: scale, mean and order of axes cannot be
    mistaken.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)))
        self.register_buffer("shift", -torch.tensor(mean) / torch.tensor(std))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, 3) uint8, RGB -> two of (B, num_classes) float32."""
        x = torch.addcmul(self.shift, images.float(), self.scale)
        logits = self.network(x.permute(0, 3, 1, 2))
        return logits, logits.softmax(1)


def pipeline_of(run: Trained) -> Pipeline:
    """The pipeline around a copy of the run's network."""
    model = Pipeline(copy.deepcopy(run.model), run.preprocess.mean, run.preprocess.std)
    return model.eval()


def folded_pipeline(run: Trained) -> tuple[Pipeline, str]:
    """The pipeline with BatchNorms folded where possible, and a line on how many those are.

    The run's own network is not changed. Raises InputError for a network that torch cannot export.
    """
    norms = [m for m in run.model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    model = pipeline_of(run)
    pairs = foldable(traced(model, run))
    fold(model, pairs)
    return model, f"{len(pairs)} of {len(norms)} BatchNorms folded"


def example_images(run: Trained) -> Tensor:
    """Two black images: from one, the exporter would take the batch size for a constant 1."""
    return torch.zeros(2, *height_width(run.preprocess.image_size), 3, dtype=torch.uint8)


def traced(model: Pipeline, run: Trained) -> ExportedProgram:
    """The graph of the model, its batch size dynamic. Raises InputError with torch's reason."""
    with torch.no_grad():
        model(example_images(run))  # fills what the network caches, which a trace cannot
    try:
        with silence():
            sizes = ({0: Dim(BATCH, min=1)},)
            return torch.export.export(model, (example_images(run),), dynamic_shapes=sizes)
    except Exception as error:  # whatever the network's own code raises while it is traced
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise InputError(f"{run.label} cannot be exported by torch: {reason}") from error


@contextmanager
def silence() -> Iterator[None]:
    """Keep what exporters print, log and warn about from the terminal: the result is checked."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
