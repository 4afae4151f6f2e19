"""From a run's folder to all that is said of it: load, look, knock out, measure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from senet_train.data.images import Images
from senet_train.data.loaders import Splits
from senet_train.environment import choose_accelerator, choose_kernel
from senet_train.errors import InputError
from senet_train.fold.tails import TAILS
from senet_train.inspect.alarms import Layer
from senet_train.inspect.knockout import Knockout, knock_out
from senet_train.inspect.look import Look, look_at
from senet_train.inspect.timing import Saving, savings
from senet_train.trained.data import own_splits
from senet_train.trained.load import Trained, load_run


@dataclass(frozen=True)
class Inspection:
    """Everything that was found out about one run, over the images of one part of its data."""

    run: Trained
    part: str
    images: Images
    look: Look
    knockouts: list[Knockout]
    savings: list[Saving]


def inspect_run(
    path: Path, *, part: str, root: str | None, knockout: bool, told: Callable[[str], None]
) -> Inspection:
    """Look at one run. Raises InputError for what is no run, has no data or no attention."""
    run = load_run(path)
    if not run.slots:
        raise InputError(
            f"{path} has no attention to look at: it is {run.label}. Give a run of another arm"
        )
    images = part_of(own_splits(run, root), part)
    device = torch.device("cuda" if choose_accelerator("auto") == "gpu" else "cpu")
    told(f"{run.label}: the gates of {len(images.labels):,} images")
    look = look_at(run, images, device)
    knockouts: list[Knockout] = []
    saved: list[Saving] = []
    if knockout:
        with as_trained(run, device):
            knockouts = knock_out(run, look.layers, images, told)
            told(f"{run.label}: time saved")
            saved = savings(run, look.layers, device)
    return Inspection(run, part, images, look, knockouts, saved)


def part_of(splits: Splits, part: str) -> Images:
    """The images of `test` or `val`."""
    return {"test": splits.test, "val": splits.validation}[part]


@contextmanager
def as_trained(run: Trained, device: torch.device) -> Iterator[None]:
    """For the block, the numbers that the run was tested in, by the fastest kernel that is here."""
    kernel = choose_kernel("auto", "gpu" if device.type == "cuda" else "cpu", True, True)
    run.model.use_tail(TAILS[kernel])
    run.model.to(device, memory_format=torch.channels_last)
    in_bfloat16 = run.config.trainer.precision == "bf16-mixed"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
        yield


def chosen_layers(layers: list[Layer]) -> list[Layer]:
    """The last layer of each stage: those the paper shows."""
    return list({layer.stage: layer for layer in layers}.values())
