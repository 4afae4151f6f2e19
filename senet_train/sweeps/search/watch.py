"""While trials run: read their metrics.csv, report each epoch, ask the hopeless ones to stop."""

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

POLL_SECONDS = 0.2


@dataclass
class Watched:
    """A trial, the folder of its run, and the verdict once there is one."""

    trial: Trial
    run: Path
    max_epochs: int
    verdict: str = ""
    launched: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )  # a run that began before is somebody else's


@contextmanager
def watching(study: Study, runs: Sequence[Watched]) -> Iterator[None]:
    """For the block, watch the runs from a thread; what went wrong there is raised at its end."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(watch_until, ended, study, runs)
        try:
            yield
        finally:
            ended.set()
        watch.result()
    for run in runs:
        withdraw_stop(run.run)  # one that came too late


def watch_until(ended: threading.Event, study: Study, runs: Sequence[Watched]) -> None:
    """Look at each run again and again."""
    while not ended.wait(POLL_SECONDS):
        for run in runs:
            look(study, run)


def look(study: Study, watched: Watched) -> None:
    """Judge what a run has written; the request stands until the run obeys, however often begun."""
    if not watched.verdict:
        curve = read_curve(watched.run)
        watched.verdict = study.judge(watched.trial, curve, watched.max_epochs)
    if watched.verdict:
        status = read_status(watched.run)
        if status and status.state == "running" and status.since >= watched.launched:
            request_stop(watched.run, watched.verdict)


def read_curve(run: Path) -> list[float]:
    """Validation score after each epoch, as far as it is written whole."""
    return [epoch.val_score for epoch in read_epochs(run)]
