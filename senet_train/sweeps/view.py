"""A sweep while it goes on: a live table on a terminal, else a line whenever a run's state changes.

All of it is read from the run folders, so that it is true under any launcher that shares them.
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
from senet_train.runs.status import Status, is_alive, read_status

if TYPE_CHECKING:
    from senet_train.training.plan import Plan


log = logging.getLogger("senet_train")


POLL_SECONDS = 1.0
ORDER = ("running", "failed", "diverged", "killed", "interrupted", "finished", "pruned", "waiting")


@dataclass(frozen=True)
class Standing:
    """How one run of the sweep stands."""

    label: str
    seed: int
    state: str
    num_epochs: int  # that are done
    max_epochs: int
    val_score: float = 0.0  # the best so far, 0 before the first
    epoch_seconds: float = 0.0  # the mean of its epochs, validation aside
    title: str = TOP1.title  # of the score

    @property
    def line(self) -> str:
        """As said where there is no table."""
        done = f", val {self.title} {self.val_score:.4f}" if self.num_epochs else ""
        return f"{self.label} seed {self.seed}: {self.state}{done}"

    @property
    def cells(self) -> tuple[str, ...]:
        """As shown in the table."""
        left = (self.max_epochs - self.num_epochs) * self.epoch_seconds
        return (
            self.label,
            str(self.seed),
            self.state,
            f"{self.num_epochs}/{self.max_epochs}",
            f"{self.val_score:.4f}" if self.num_epochs else "",
            clock(left) if self.state == "running" and self.num_epochs else "",
        )


def standing_of(plan: "Plan", started: str = "") -> Standing:
    """What the run's folder says; what is to be overwritten counts from `started` on."""
    folder, config = plan.folder.path, plan.config
    title = plan.task.learner.score.title
    status = read_status(folder)
    if config.overwrite and status and status.since < started:
        total = config.trainer.max_epochs
        return Standing(plan.identity.label, config.seed, "waiting", 0, total, title=title)
    epochs = read_epochs(folder)
    return Standing(
        plan.identity.label,
        config.seed,
        state_in_words(status),
        len(epochs),
        config.trainer.max_epochs,
        max((epoch.val_score for epoch in epochs), default=0.0),
        sum(epoch.seconds for epoch in epochs) / max(len(epochs), 1),
        title,
    )


def state_in_words(status: Status | None) -> str:
    """The status's own word, but for a run that nobody has begun, or whose process is gone."""
    if status is None:
        return "waiting"
    here = status.host == socket.gethostname()
    gone = status.state == "running" and here and not is_alive(status.pid)
    return "killed" if gone else status.state


@contextmanager
def shown(plans: Sequence["Plan"]) -> Iterator[None]:
    """For the block, show how the runs go on: on standard error."""
    console = Console(stderr=True)
    pace = Pace(plans)
    if console.is_terminal:
        table = partial(table_of, pace, console)
        with Live(get_renderable=table, console=console, refresh_per_second=1 / POLL_SECONDS):
            yield
        return
    ended = threading.Event()
    teller = threading.Thread(target=tell_changes, args=(pace, ended))
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


class Pace:
    """How fast the sweep's epochs go by, and so how long the rest will take."""

    def __init__(self, plans: Sequence["Plan"]) -> None:
        self.start, self.plans = time.monotonic(), plans
        self.started = datetime.now(UTC).isoformat(timespec="seconds")  # as statuses have it
        self.epochs_before = sum(standing.num_epochs for standing in self.standings())

    def standings(self) -> list[Standing]:
        """Of every run, now."""
        return [standing_of(plan, self.started) for plan in self.plans]

    def summary(self, standings: Sequence[Standing]) -> str:
        """`3 of 12 finished, about 0:04:10 left`."""
        finished = sum(standing.state == "finished" for standing in standings)
        words = f"{finished} of {len(standings)} finished"
        done = sum(standing.num_epochs for standing in standings)
        still = ("running", "waiting", "interrupted")
        left = sum(s.max_epochs - s.num_epochs for s in standings if s.state in still)
        fresh = done - self.epochs_before
        if fresh < 1 or not left:
            return words
        return f"{words}, about {clock(left * (time.monotonic() - self.start) / fresh)} left"


def clock(seconds: float) -> str:
    """`1:02:03`, or `2 days, 1:02:03`."""
    return str(timedelta(seconds=round(seconds)))


def table_of(pace: Pace, console: Console) -> Table:
    """As many runs as the terminal has lines for: those that go on and those in trouble first."""
    standings = pace.standings()
    score = f"val {', '.join(dict.fromkeys(standing.title for standing in standings))}"
    table = Table("arm", "seed", "state", "epoch", score, "left", box=None)
    table.caption, table.caption_justify = pace.summary(standings), "left"
    lines = max(console.height - 4, 1)
    urgent = sorted(standings, key=lambda standing: ORDER.index(standing.state))[:lines]
    for standing in standings:
        if standing in urgent:
            table.add_row(*standing.cells)
    return table


def tell_changes(pace: Pace, ended: threading.Event) -> None:
    """Until `ended`, and once more then, say whose state is another than before."""
    before = pace.standings()
    last = False
    while not last:
        last = ended.wait(POLL_SECONDS)
        now = pace.standings()
        for old, new in zip(before, now, strict=True):
            if new.state != old.state:
                log.info("%s (%s)", new.line, pace.summary(now))
        before = now
