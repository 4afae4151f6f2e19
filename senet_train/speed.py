"""How fast: steady training, single forward passes, peak memory."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from senet_train.record import Latency

LATENCY_BATCHES = (1, 128)
LATENCY_SECONDS = 0.5  # measured at each batch size


class SpeedMeter(pl.Callback):
    """Images per second of every step, data loading included: `rates`, a list for each epoch."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.epoch_seconds = 0.0
        self._epoch_start = self._step_end = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.rates.append([])
        self._epoch_start = self._step_end = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        now = time.perf_counter()
        self.rates[-1].append(len(batch[1]) / (now - self._step_end))
        self._step_end = now
        self.epoch_seconds = now - self._epoch_start

    def steady(self) -> list[float]:
        """The rates to judge by: of all epochs but the first, which warms up, if there is another.

        Of each epoch without its first step, which waits for the loader, if there is another.
        """
        epochs = self.rates[1:] or self.rates
        return [rate for epoch in epochs for rate in epoch[1:] or epoch]


def median_and_quartiles(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median and the lower and upper quartile; zeros for nothing measured."""
    if len(values) < 2:
        only = values[0] if values else 0.0
        return only, (only, only)
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return median, (lower, upper)


def measure_latency(
    network: nn.Module, context: Callable[[], Any], image_size: int, device: torch.device
) -> dict[str, Latency]:
    """Forward passes of the network in eval mode under `context` (its autocast), by batch size."""
    network.eval()
    result = {}
    for batch_size in LATENCY_BATCHES:
        images = torch.randn(batch_size, 3, image_size, image_size, device=device)
        images = images.to(memory_format=torch.channels_last)

        def forward(images: torch.Tensor = images) -> None:
            with torch.inference_mode(), context():
                network(images)

        median, quartiles = median_and_quartiles(time_repeatedly(forward, device))
        result[str(batch_size)] = Latency(median, quartiles)
    return result


def time_repeatedly(function: Callable[[], None], device: torch.device) -> list[float]:
    """Milliseconds of each call within LATENCY_SECONDS, at least 5, after 2 that are not timed."""

    def timed() -> float:
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    timed(), timed()
    seconds: list[float] = []
    while len(seconds) < 5 or sum(seconds) < LATENCY_SECONDS:
        seconds.append(timed())
    return [1000 * s for s in seconds]


def peak_memory_bytes(device: torch.device) -> int:
    """The device's peak where it has its own memory, else the process's since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
