"""A run's network from pixels to probabilities: what an exported file computes.

Shapes: B batch, H = W = image_size.
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
from senet_train.errors import InputError
from senet_train.runs.trained.load import Trained

INPUT = "images"
OUTPUTS = ("logits", "probabilities")
BATCH = "batch"  # the name of the dimension that is left open


class Deployed(nn.Module):
    """The evaluation pipeline of a run behind its resize: uint8 pixels -> logits, probabilities.

    uint8 because that is what every image reader gives: a user has no scale, no mean and no order
    of axes to get wrong.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)))
        self.register_buffer("shift", -torch.tensor(mean) / torch.tensor(std))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, 3) uint8, RGB -> twice (B, num_classes) float32."""
        x = torch.addcmul(self.shift, images.float(), self.scale)
        logits = self.network(x.permute(0, 3, 1, 2))
        return logits, logits.softmax(1)


def deployed(run: Trained) -> tuple[Deployed, str]:
    """The run with every BatchNorm folded that can be, and how many those are, in words.

    The run itself stays as it is. Raises InputError for a network that torch cannot export.
    """
    norms = [m for m in run.model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    model = Deployed(copy.deepcopy(run.model), run.preprocess.mean, run.preprocess.std).eval()
    pairs = foldable(traced(model, run))
    fold(model, pairs)
    return model, f"{len(pairs)} of {len(norms)} BatchNorms folded"


def example(run: Trained) -> Tensor:
    """Two black images: one would be taken for a size that is always 1."""
    size = run.preprocess.image_size
    return torch.zeros(2, size, size, 3, dtype=torch.uint8)


def traced(model: Deployed, run: Trained) -> ExportedProgram:
    """The model as a graph, its batch size open. Raises InputError with torch's reason."""
    with torch.no_grad():
        model(example(run))  # what is computed once and kept must be made of real numbers
    try:
        with silence():
            sizes = ({0: Dim(BATCH, min=1)},)
            return torch.export.export(model, (example(run),), dynamic_shapes=sizes)
    except Exception as error:  # whatever the network's own code raises while it is traced
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise InputError(f"{run.label} cannot be exported by torch: {reason}") from error


@contextmanager
def silence() -> Iterator[None]:
    """Keep what exporters print, log and warn of from the terminal: the check says how it went."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
