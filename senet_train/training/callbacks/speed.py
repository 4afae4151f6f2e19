"""Speed and memory: images per second in training, latency of a forward pass, peak memory."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from torch import nn

from senet_train.networks.stopwatch import in_turn, milliseconds
from senet_train.runs.record import Latency, median_and_quartiles
from senet_train.system.memory import is_shortage, release_freed_memory
from senet_train.training.distributed.world import world

if sys.platform != "win32":
    import resource

PEAK_RESET = Path("/proc/self/clear_refs")  # writing 5 resets VmHWM, see proc(5)
LATENCY_BATCHES = (1, 128)
LATENCY_SECONDS = 0.5  # measured at each batch size
LEAST_PASSES = 3


class SpeedMeter(pl.Callback):
    """Images per second of every step, data loading included: `rates`, a list for each epoch.

    On a GPU a step has not ended where the host goes on. `record` is called where the host has
    waited for it, after some of the steps: each of them gets the mean rate of them all.
    """

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.epoch_seconds = 0.0
        self.earlier_seconds = 0.0  # of training before the run was resumed
        self._start, self._recorded = time.perf_counter(), 0.0
        self._images: list[int] = []  # of each step since

    def state_dict(self) -> dict[str, Any]:
        seconds = self.earlier_seconds + time.perf_counter() - self._start
        return {"rates": self.rates, "epoch_seconds": self.epoch_seconds, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rates, self.epoch_seconds = state_dict["rates"], state_dict["epoch_seconds"]
        self.earlier_seconds = state_dict["seconds"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if (
            len(self.rates) == trainer.current_epoch
        ):  # otherwise the run was resumed in the middle of it
            self.rates.append([])
            self.epoch_seconds = 0.0
        self._recorded, self._images = time.perf_counter(), []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        self._images.append(len(batch[1]) * world().size)

    def record(self) -> None:
        """All steps so far have ended, on the device too."""
        now = time.perf_counter()
        seconds = now - self._recorded
        self.rates[-1] += [sum(self._images) / seconds] * len(self._images)
        self.epoch_seconds += seconds
        self._recorded, self._images = now, []

    def steady(self) -> list[float]:
        """The rates without the first epoch, which warms up, and without each epoch's first step.

        That step waits for the loader. An only epoch and an only step are kept.
        """
        epochs = self.rates[1:] or self.rates
        return [rate for epoch in epochs for rate in epoch[1:] or epoch]


def measure_latency(
    network: nn.Module, context: Callable[[], Any], image: torch.Tensor
) -> dict[str, Latency]:
    """The latency of a forward pass in evaluation mode, by batch size.

    The batches are copies of `image` (1, 3, H, W), and `context` is the autocast. A batch that does
    not fit into the memory is left out.
    """
    network.eval()
    result = {}
    for batch_size in LATENCY_BATCHES:
        images = torch.cat([image] * batch_size)

        def forward(images: torch.Tensor = images) -> None:
            with torch.inference_mode(), context():
                network(images)

        measure = partial(milliseconds, forward, image.device)
        try:
            [times] = in_turn([measure], LEAST_PASSES, LATENCY_SECONDS)
        except RuntimeError as error:
            if not is_shortage(error):
                raise
            continue
        result[str(batch_size)] = Latency(*median_and_quartiles(times))
    return result


def reset_peak_memory() -> None:
    """Forget the peak of earlier runs in this process, if the system can."""
    release_freed_memory()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if PEAK_RESET.exists():
        PEAK_RESET.write_text("5", encoding="utf-8")


def peak_memory_bytes(device: torch.device) -> int:
    """The peak of the GPU's memory, or on a CPU that of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":  # it keeps no peak; the driver gives little back
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    elif PEAK_RESET.exists():  # Linux: the peak since the reset, in KiB
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
