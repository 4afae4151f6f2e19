"""`logger=tensorboard`: an event file in the run's folder."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from senet_train.runs.status import State
from senet_train.training.loggers.sink import LoggedRun, Points, Sink

NUM_BINS = 64


class TensorBoard:
    """Curves, histograms, pictures and a row of the HPARAMS tab."""

    def open(self, run: LoggedRun, points: Sequence[Points]) -> list[Sink]:
        """The event file."""
        return [EventFile(run, len(points))]


class EventFile(Sink):
    """TensorBoard's file of a run. Points from `epochs` on, of before a resume, are dropped."""

    def __init__(self, run: LoggedRun, epochs: int) -> None:
        self.writer = SummaryWriter(str(run.folder), purge_step=epochs)
        unfinished = dict.fromkeys(run.final, math.nan)
        *start, self.session_end = hparams(dict(run.hyperparameters), unfinished)
        for summary in start:
            self.writer._get_file_writer().add_summary(summary)

    def write(self, points: Points, epoch: int) -> None:
        for tag, value in points.items():
            self.writer.add_scalar(tag, value, epoch)
        self.writer.flush()

    def write_histogram(self, tag: str, values: NDArray[np.float32], epoch: int) -> None:
        """In NUM_BINS equal bins."""
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
        self.writer.add_image(tag, pixels, epoch, dataformats="HWC")

    def write_final(self, points: Points, best_epoch: int) -> None:
        for tag, value in points.items():
            self.writer.add_scalar(tag, value, best_epoch)
        # The HPARAMS tab shows a session as running until it has this summary.
        self.writer._get_file_writer().add_summary(self.session_end)

    def close(self, state: State) -> None:
        self.writer.close()
