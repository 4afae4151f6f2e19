"""The inspection of one run: load it, measure its gates, knock layers out, time it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from senet_train.commands.inspect.gates import GateInspection, inspect_gates
from senet_train.commands.inspect.knockout import Knockout, knock_out
from senet_train.commands.inspect.maps import Overlay, has_captum, overlays
from senet_train.commands.inspect.timing import AddedTime, added_times
from senet_train.config.suggest import suggestion
from senet_train.data.images import Images
from senet_train.data.loaders import Splits
from senet_train.errors import InputError
from senet_train.networks.hardware import (
    TAILS,
    autocast,
    choose_accelerator,
    choose_kernel,
    device_of,
)
from senet_train.runs.trained.load import Trained, load_run
from senet_train.runs.trained.own_data import own_splits
from senet_train.system.arithmetic import exact_float32

SHOWN_CLASSES = 4  # as in the paper


@dataclass(frozen=True)
class RunInspection:
    """The results for one run, over the images of one part of its data."""

    run: Trained
    part: str
    images: Images
    gates: GateInspection
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
    report_progress: Callable[[str], None],
) -> RunInspection:
    """Inspect one run. Raises InputError for what is no run, or has no data or no attention."""
    run = load_run(path)
    shown = default_classes(len(run.class_names)) if classes is None else indices_of(classes, run)
    if not run.slots and not has_captum():
        raise InputError(
            f"{path} is {run.label}, which has no attention to look at: give a run of another arm, "
            "or install senet-train[maps] to see where this one looks"
        )
    images = part_of(own_splits(run, root), part)
    device = device_of(choose_accelerator("auto"))
    report_progress(f"{run.label}: the gates of {len(images.labels):,} images")
    knockouts: list[Knockout] = []
    added: list[AddedTime] = []
    with exact_float32():
        gates = inspect_gates(run, images, device)
        maps = overlays(run, images, shown, device)
        if knockout and run.slots:
            with as_tested(run, device):
                knockouts = knock_out(run, gates.layers, images, report_progress)
                report_progress(f"{run.label}: time of a forward pass")
                added = added_times(run, gates.layers, device)
    return RunInspection(run, part, images, gates, shown, knockouts, added, maps)


def indices_of(classes: list[str], run: Trained) -> list[int]:
    """The indices of the named classes. Raises InputError for a class that the run has not."""
    known = run.class_names
    for name in classes:
        if name not in known:
            raise InputError(f"--classes: {run.label} has no class {name}{suggestion(name, known)}")
    if len(classes) > SHOWN_CLASSES:
        raise InputError(f"--classes names {len(classes)}: choose up to {SHOWN_CLASSES}")
    return [known.index(name) for name in classes]


def default_classes(num_classes: int) -> list[int]:
    """Up to four, evenly chosen."""
    return sorted({round(i) for i in np.linspace(0, num_classes - 1, SHOWN_CLASSES)})


def part_of(splits: Splits, part: str) -> Images:
    """The images of `test` or `val`."""
    return {"test": splits.test, "val": splits.validation}[part]


@contextmanager
def as_tested(run: Trained, device: torch.device) -> Iterator[None]:
    """For the block, the precision that the run was tested in, and the fastest kernel available."""
    kernel = choose_kernel("auto", "gpu" if device.type == "cuda" else "cpu", True, True)
    run.model.use_tail(TAILS[kernel])
    run.model.to(device).to(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(device, run.config.trainer.precision):
        yield
