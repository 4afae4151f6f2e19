"""What a run reports after every epoch: a row of metrics.csv, a point of each curve, a log line."""

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from PIL import Image

from senet_train.runs.curves import append_row, write_rows
from senet_train.runs.metrics import Score
from senet_train.runs.record import median_and_quartiles
from senet_train.runs.status import State
from senet_train.system.files import write_atomic
from senet_train.training.callbacks.speed import SpeedMeter
from senet_train.training.learner import Learner
from senet_train.training.loggers.sink import LoggedRun, Logger, Sink, points_of

if TYPE_CHECKING:  # matplotlib is imported by what draws
    from matplotlib.figure import Figure

log = logging.getLogger("senet_train")


class Journal(pl.Callback):
    """After every validation: a row in metrics.csv, a point of each curve, and a log line."""

    def __init__(self, logger: Logger, run: LoggedRun, speed: SpeedMeter) -> None:
        self.logger, self.run, self.speed = logger, run, speed
        self.sinks: list[Sink] = []
        self.rows: list[dict[str, float]] = []  # of metrics.csv

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.run.folder

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove rows and points from after the checkpoint that the run resumes from."""
        write_rows(self.folder, self.rows)
        self.sinks = self.logger.open(self.run, [points_of(row) for row in self.rows])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        rate, _ = median_and_quartiles(self.speed.rates[-1])
        row = {
            **pl_module.progress.history[-1],
            "seconds": round(self.speed.epoch_seconds, 3),
            "images_per_second": round(rate, 1),
        }
        append_row(self.folder, row, header=not self.rows)
        self.rows.append(row)
        for sink in self.sinks:
            sink.write(points_of(row), int(row["epoch"]))
        # The live bar says the same on a terminal; run.log gets every line.
        level = logging.DEBUG if sys.stderr.isatty() else logging.INFO
        log.log(level, epoch_line(row, pl_module.score, pl_module.max_epochs))

    def write_histogram(self, tag: str, values: NDArray[np.float32], epoch: int) -> None:
        """A histogram of `values` (N,); nothing if there are no values."""
        for sink in self.sinks if values.size else []:
            sink.write_histogram(tag, values, epoch)

    def write_picture(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        """A picture, (H, W, 3)."""
        for sink in self.sinks:
            sink.write_picture(tag, pixels, epoch)

    def save_figure(self, name: str, draw: "Callable[[], Figure]", epoch: int) -> None:
        """A figure as `test/<name>`, and as `<name>.png` in the run folder."""
        from senet_train.figures import figure_pixels

        pixels = figure_pixels(draw)
        image = Image.fromarray(pixels)
        write_atomic(self.folder / f"{name}.png", lambda file: image.save(file, "PNG"))
        self.write_picture(f"test/{name}", pixels, epoch)

    def write_final(self, metrics: Mapping[str, float], best_epoch: int) -> None:
        """Write the final metrics of the record."""
        points = {tag: metrics[name] for tag, name in self.run.final.items()}
        for sink in self.sinks:
            sink.write_final(points, best_epoch)

    def close(self, state: State) -> None:
        """Close all that takes points: the run has ended so."""
        sinks, self.sinks = self.sinks, []
        for sink in reversed(sinks):  # TensorBoard's file is the first, and may find no room
            sink.close(state)


def epoch_line(row: dict[str, float], score: Score, max_epochs: int) -> str:
    """The log line of an epoch, with those metrics that the row has."""
    metrics: dict[str, list[str]] = {"train": [], "val": []}
    for part, words in metrics.items():
        for key, title in (("loss", "loss"), (score.key, score.title)):
            if f"{part}_{key}" in row:
                words.append(f"{title} {row[f'{part}_{key}']:.4f}")
    parts = [f"{part} {', '.join(words)}" for part, words in metrics.items()]
    return (
        f"epoch {row['epoch'] + 1:.0f}/{max_epochs}: {'; '.join(parts)}; "
        f"{row['images_per_second']:.0f} images/s"
    )
