"""From a run's folder to all that is said of it: load, look, knock out, measure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from senet_train.commands.inspect.knockout import Knockout, knock_out
from senet_train.commands.inspect.look import Look, look_at
from senet_train.commands.inspect.maps import Overlay, has_captum, overlays
from senet_train.commands.inspect.timing import AddedTime, added_times
from senet_train.config.read import suggestion
from senet_train.data.images import Images
from senet_train.data.loaders import Splits
from senet_train.errors import InputError
from senet_train.networks.hardware import TAILS, choose_accelerator, choose_kernel
from senet_train.runs.trained.load import Trained, load_run
from senet_train.runs.trained.own_data import own_splits

SHOWN_CLASSES = 4  # as in the paper


@dataclass(frozen=True)
class RunInspection:
    """Everything that was found out about one run, over the images of one part of its data."""

    run: Trained
    part: str
    images: Images
    look: Look
    classes: list[int]  # indices of those that pictures show by name
    knockouts: list[Knockout]
    added_times: list[AddedTime]
    overlays: list[Overlay]


def inspect_run(
    path: Path,
    *,
    part: str,
    root: str | None,
    classes: list[str] | None,
    knockout: bool,
    told: Callable[[str], None],
) -> RunInspection:
    """Look at one run. Raises InputError for what is no run, has no data or nothing to see."""
    run = load_run(path)
    shown = usual_classes(len(run.class_names)) if classes is None else indices_of(classes, run)
    if not run.slots and not has_captum():
        raise InputError(
            f"{path} is {run.label}, which has no attention to look at: give a run of another arm, "
            "or install senet-train[maps] to see where this one looks"
        )
    images = part_of(own_splits(run, root), part)
    device = torch.device("cuda" if choose_accelerator("auto") == "gpu" else "cpu")
    told(f"{run.label}: the gates of {len(images.labels):,} images")
    look = look_at(run, images, device)
    maps = overlays(run, images, shown, device)
    knockouts: list[Knockout] = []
    added: list[AddedTime] = []
    if knockout and run.slots:
        with as_trained(run, device):
            knockouts = knock_out(run, look.layers, images, told)
            told(f"{run.label}: time of a forward pass")
            added = added_times(run, look.layers, device)
    return RunInspection(run, part, images, look, shown, knockouts, added, maps)


def indices_of(classes: list[str], run: Trained) -> list[int]:
    """Where the classes stand among the run's. Raises InputError for one that it has not."""
    known = run.class_names
    for name in classes:
        if name not in known:
            raise InputError(f"--classes: {run.label} has no class {name}{suggestion(name, known)}")
    if len(classes) > SHOWN_CLASSES:
        raise InputError(f"--classes names {len(classes)}: choose up to {SHOWN_CLASSES}")
    return [known.index(name) for name in classes]


def usual_classes(num_classes: int) -> list[int]:
    """Up to four, evenly chosen."""
    return sorted({round(i) for i in np.linspace(0, num_classes - 1, SHOWN_CLASSES)})


def part_of(splits: Splits, part: str) -> Images:
    """The images of `test` or `val`."""
    return {"test": splits.test, "val": splits.validation}[part]


@contextmanager
def as_trained(run: Trained, device: torch.device) -> Iterator[None]:
    """For the block, the numbers that the run was tested in, by the fastest kernel that is here."""
    kernel = choose_kernel("auto", "gpu" if device.type == "cuda" else "cpu", True, True)
    run.model.use_tail(TAILS[kernel])
    run.model.to(device).to(memory_format=torch.channels_last)
    in_bfloat16 = run.config.trainer.precision == "bf16-mixed"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
        yield
