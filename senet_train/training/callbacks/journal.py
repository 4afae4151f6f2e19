"""What a run reports after every epoch: a row of metrics.csv, TensorBoard curves, a log line."""

import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from senet_train.runs.curves import append_row, write_rows
from senet_train.runs.metrics import CHOSEN, Score
from senet_train.runs.record import median_and_quartiles
from senet_train.system.files import write_atomic
from senet_train.training.callbacks.speed import SpeedMeter
from senet_train.training.learner import Learner

if TYPE_CHECKING:  # matplotlib is imported by what draws
    from matplotlib.figure import Figure

log = logging.getLogger("senet_train")


NUM_BINS = 64


class Journal(pl.Callback):
    """After every validation: a row in metrics.csv, a point of each curve, and a log line."""

    def __init__(
        self,
        folder: Path,
        hyperparameters: dict[str, Any],
        speed: SpeedMeter,
        final_metrics: Sequence[str],
    ) -> None:
        self.folder, self.hyperparameters, self.speed = folder, hyperparameters, speed
        # For TensorBoard's HPARAMS tab; the tag of a curve must not be among them.
        self.final = {f"final/{name}": name for name in final_metrics}
        self.writer: SummaryWriter | None = None
        self.rows: list[dict[str, float]] = []  # of metrics.csv

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove rows and points from after the checkpoint that the run resumes from."""
        write_rows(self.folder, self.rows)
        self.writer = SummaryWriter(str(self.folder), purge_step=len(self.rows))
        unfinished = dict.fromkeys(self.final, math.nan)
        *start, self.session_end = hparams(self.hyperparameters, unfinished)
        for summary in start:
            self.writer._get_file_writer().add_summary(summary)

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
        self.write_points(row)
        # The live bar says the same on a terminal; run.log gets every line.
        level = logging.DEBUG if sys.stderr.isatty() else logging.INFO
        log.log(level, epoch_line(row, pl_module.score, pl_module.max_epochs))

    def write_points(self, row: dict[str, float]) -> None:
        """Every number of the row as `part/metric`, at the epoch."""
        assert self.writer is not None
        for name, value in row.items():
            if name not in ("epoch", "step", CHOSEN):
                part, _, metric = name.partition("_")
                tag = f"{part}/{metric}" if part in ("train", "val") else f"speed/{name}"
                self.writer.add_scalar("lr" if name == "lr" else tag, value, int(row["epoch"]))
        self.writer.flush()

    def write_histogram(self, tag: str, values: NDArray[np.float32], epoch: int) -> None:
        """A histogram of `values` (N,) in NUM_BINS equal bins; nothing if there are no values."""
        assert self.writer is not None
        if not values.size:
            return
        # In float64: between gates that are nearly equal float32 has no room for the edges.
        counts, edges = np.histogram(values.astype(np.float64), NUM_BINS)
        self.writer.add_histogram_raw(
            tag,
            min=values.min(),
            max=values.max(),
            num=values.size,
            sum=values.sum(),
            sum_squares=values @ values,
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=epoch,
        )

    def write_picture(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        """A picture, (H, W, 3)."""
        assert self.writer is not None
        self.writer.add_image(tag, pixels, epoch, dataformats="HWC")

    def save_figure(self, name: str, draw: "Callable[[], Figure]", epoch: int) -> None:
        """A figure as `test/<name>`, and as `<name>.png` in the run folder."""
        from senet_train.figures import figure_pixels

        pixels = figure_pixels(draw)
        image = Image.fromarray(pixels)
        write_atomic(self.folder / f"{name}.png", lambda file: image.save(file, "PNG"))
        self.write_picture(f"test/{name}", pixels, epoch)

    def write_final(self, metrics: Mapping[str, float], best_epoch: int) -> None:
        """Write the final metrics of the record, for the HPARAMS tab."""
        assert self.writer is not None
        for tag, name in self.final.items():
            self.writer.add_scalar(tag, metrics[name], best_epoch)
        # The tab shows a session as running until it has this summary.
        self.writer._get_file_writer().add_summary(self.session_end)

    def close(self) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None


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
