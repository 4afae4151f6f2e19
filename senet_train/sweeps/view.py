"""The view of a running sweep: a live table on a terminal, else a line for each change of state.

All of it is read from the run folders, so it works with every launcher that shares them.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from senet_train.runs.curves import read_epochs
from senet_train.runs.metrics import TOP1
from senet_train.runs.status import Status, is_running, read_status
from senet_train.system.console import output_console

if TYPE_CHECKING:
    from senet_train.training.plan import Plan


log = logging.getLogger("senet_train")


POLL_SECONDS = 1.0
ORDER = (
    *("running", "failed", "diverged", "killed", "interrupted", "without record", "finished"),
    *("pruned", "waiting"),
)


@dataclass(frozen=True)
class RunProgress:
    """How far one run of the sweep has come."""

    label: str
    seed: int
    state: str
    num_epochs: int  # finished
    max_epochs: int
    val_score: float = 0.0  # the best so far, 0 before the first
    epoch_seconds: float = 0.0  # the mean of its epochs, validation aside
    title: str = TOP1.title  # of the score

    @property
    def line(self) -> str:
        """The line that is logged where there is no table."""
        done = f", val {self.title} {self.val_score:.4f}" if self.num_epochs else ""
        return f"{self.label} seed {self.seed}: {self.state}{done}"

    @property
    def cells(self) -> tuple[str, ...]:
        """As live_view in the table."""
        left = (self.max_epochs - self.num_epochs) * self.epoch_seconds
        return (
            self.label,
            str(self.seed),
            self.state,
            f"{self.num_epochs}/{self.max_epochs}",
            f"{self.val_score:.4f}" if self.num_epochs else "",
            clock(left) if self.state == "running" and self.num_epochs else "",
        )


def progress_of(plan: "Plan", started: str = "") -> RunProgress:
    """Read from the run's folder; a run to overwrite is waiting until it begins after `started`."""
    folder, config = plan.folder.path, plan.config
    title = plan.task.learner.kind.score_called(config.trainer.score).title
    status = read_status(folder)
    if config.overwrite and status and status.since < started:
        total = config.trainer.max_epochs
        return RunProgress(plan.identity.label, config.seed, "waiting", 0, total, title=title)
    epochs = read_epochs(folder)
    state = state_of(status)
    if state == "finished" and not (folder / "result.json").exists():  # a copy that was cut
        state = "without record"
    return RunProgress(
        plan.identity.label,
        config.seed,
        state,
        len(epochs),
        config.trainer.max_epochs,
        max((epoch.val_score for epoch in epochs), default=0.0),
        sum(epoch.seconds for epoch in epochs) / max(len(epochs), 1),
        title,
    )


def state_of(status: Status | None) -> str:
    """The state in status.json; `waiting` without one, `killed` where its process is gone."""
    if status is None:
        return "waiting"
    here = status.host == socket.gethostname()
    gone = status.state == "running" and here and not is_running(status)
    return "killed" if gone else status.state


@contextmanager
def live_view(plans: Sequence["Plan"]) -> Iterator[None]:
    """For the block, show how far the runs have come, on standard error."""
    console = output_console(stderr=True)
    progress = SweepProgress(plans)
    if console.is_terminal:
        table = partial(progress_table, progress, console)
        with Live(get_renderable=table, console=console, refresh_per_second=1 / POLL_SECONDS):
            yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=log_changes, args=(progress, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class SweepProgress:
    """The runs of a sweep, and from the speed of its epochs the time that is left."""

    def __init__(self, plans: Sequence["Plan"]) -> None:
        self.start, self.plans = time.monotonic(), plans
        self.started = datetime.now(UTC).isoformat(timespec="seconds")  # as statuses have it
        self.epochs_before = sum(run.num_epochs for run in self.look())
        self.has_begun = False

    def runs(self) -> list[RunProgress]:
        """The progress of every run now; the clock starts when one of them begins to train."""
        runs = self.look()
        epochs = sum(run.num_epochs for run in runs)
        trains = epochs > self.epochs_before or any(run.state == "running" for run in runs)
        self.has_begun = self.has_begun or trains
        if not self.has_begun:  # a wait in the queue of a cluster is not the speed of an epoch
            self.start = time.monotonic()
        return runs

    def look(self) -> list[RunProgress]:
        """As the folders of the runs have it."""
        return [progress_of(plan, self.started) for plan in self.plans]

    def summary(self, runs: Sequence[RunProgress]) -> str:
        """`3 of 12 finished, about 0:04:10 left`."""
        finished = sum(run.state == "finished" for run in runs)
        text = f"{finished} of {len(runs)} finished"
        done = sum(run.num_epochs for run in runs)
        unfinished = ("running", "waiting", "interrupted")
        left = sum(s.max_epochs - s.num_epochs for s in runs if s.state in unfinished)
        since_start = done - self.epochs_before
        if since_start < 1 or not left:
            return text
        return f"{text}, about {clock(left * (time.monotonic() - self.start) / since_start)} left"


def clock(seconds: float) -> str:
    """`1:02:03`, or `2 days, 1:02:03`."""
    return str(timedelta(seconds=round(seconds)))


def progress_table(progress: SweepProgress, console: Console) -> Table:
    """As many runs as the terminal has lines for: running and failed ones before finished ones."""
    runs = progress.runs()
    score = f"val {', '.join(dict.fromkeys(run.title for run in runs))}"
    table = Table("arm", "seed", "state", "epoch", score, "left", box=None)
    table.caption, table.caption_justify = progress.summary(runs), "left"
    lines = max(console.height - 4, 1)
    urgent = sorted(runs, key=lambda run: ORDER.index(run.state))[:lines]
    for run in runs:
        if run in urgent:
            table.add_row(*run.cells)
    return table


def log_changes(progress: SweepProgress, ended: threading.Event) -> None:
    """Until `ended` is set, and once more then, log every run whose state has changed."""
    before = progress.runs()
    last = False
    while not last:
        last = ended.wait(POLL_SECONDS)
        now = progress.runs()
        for old, new in zip(before, now, strict=True):
            if new.state != old.state:
                log.info("%s (%s)", new.line, progress.summary(now))
        before = now
