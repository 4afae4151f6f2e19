"""While trials run: read their metrics.csv, report each epoch, ask pruned ones to stop."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from optuna.trial import Trial

from senet_train.runs.curves import read_epochs
from senet_train.runs.status import read_status
from senet_train.sweeps.search.study import Study
from senet_train.training.callbacks.stop_request import request_stop, withdraw_stop
from senet_train.training.plan import Plan

POLL_SECONDS = 0.2


@dataclass
class WatchedRun:
    """A trial, the plan of its run, and the reason to prune it once there is one."""

    trial: Trial
    plan: Plan
    max_epochs: int
    reason: str = ""
    launched: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )  # a run that began earlier is not this trial's

    @property
    def run(self) -> Path:
        """The folder of its run."""
        return self.plan.folder.path


@contextmanager
def watching(study: Study, runs: Sequence[WatchedRun]) -> Iterator[None]:
    """For the block, watch the runs from a thread; an error in it is raised at the end."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(watch_until, ended, study, runs)
        try:
            yield
        finally:
            ended.set()
        watch.result()
    for run in runs:
        withdraw_stop(run.run)  # a request that came too late


def watch_until(ended: threading.Event, study: Study, runs: Sequence[WatchedRun]) -> None:
    """Check every run until `ended` is set."""
    while not ended.wait(POLL_SECONDS):
        for run in runs:
            check(study, run)


def check(study: Study, watched: WatchedRun) -> None:
    """Report the epochs of a run, and ask it to stop if it is pruned, again if it is restarted."""
    if not watched.reason:
        curve = read_curve(watched.run)
        watched.reason = study.judge(watched.trial, curve, watched.max_epochs)
    if watched.reason:
        status = read_status(watched.run)
        if status and status.state == "running" and status.since >= watched.launched:
            request_stop(watched.run, watched.reason)


def read_curve(run: Path) -> list[float]:
    """Validation score after each epoch, that is written completely."""
    return [epoch.val_score for epoch in read_epochs(run)]
