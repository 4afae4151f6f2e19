"""trainer.patience and trainer.max_minutes: where they stop, what is recorded, and going on."""

import dataclasses
import json
from pathlib import Path

import pytest
from support import OPTIM, TINY, Senet
from training.fitting import TRAINER, fit

from senet_train.runs.record import Ended, read_record
from senet_train.training.callbacks.stopping import stopping_rule
from senet_train.training.progress import MetricSums, Progress
from senet_train.training.tasks.classification import class_sums

QUICK = dataclasses.replace(OPTIM, lr=0.3)
EPOCHS = 12


def progress(epochs: int, best_epoch: int) -> Progress:
    sums: MetricSums = class_sums()
    return Progress(sums, epoch=epochs, best_epoch=best_epoch)


@pytest.mark.parametrize(
    ("patience", "minutes", "epochs", "best", "seconds", "rule"),
    [
        (2, "none", 3, 0, 0, "patience"),
        (2, "none", 2, 0, 0, ""),
        (2, "none", 6, 5, 1e9, ""),
        ("none", "none", 100, 0, 1e9, ""),
        ("none", 2.0, 5, 0, 119.9, ""),
        ("none", 2.0, 5, 0, 120.0, "max_minutes"),
        (1, 2.0, 5, 0, 120.0, "patience"),
    ],
)
def test_rules(
    patience: object, minutes: object, epochs: int, best: int, seconds: float, rule: str
) -> None:
    settings = dataclasses.replace(TRAINER, patience=patience, max_minutes=minutes)
    assert stopping_rule(settings, progress(epochs, best), seconds) == rule


def test_patience_stops_where_the_history_says(tmp_path: Path) -> None:
    """The epochs before are those of a run without it, and no later epoch is trained."""
    whole, *_ = fit(tmp_path / "whole", QUICK, max_epochs=EPOCHS)
    rows = whole.progress.history
    ranks = [(round(row["val_top1"] * 13), -row["val_loss"]) for row in rows]
    expected = next(
        last + 1
        for last in range(2, EPOCHS)
        if max(ranks[: last + 1]) in ranks[: last - 1]
        and max(ranks[: last - 1]) >= max(ranks[: last + 1])
    )
    assert expected < EPOCHS  # otherwise nothing is tested
    stopped, *_ = fit(tmp_path / "stopped", QUICK, max_epochs=EPOCHS, patience=2)
    assert stopped.progress.history == rows[:expected]
    assert stopped.progress.stopped == "patience"
    assert whole.progress.stopped == ""
    earlier = tmp_path / "earlier"
    fit(earlier, QUICK, max_epochs=expected - 1, patience=2)
    last = earlier / "checkpoints" / "last.ckpt"
    resumed, *_ = fit(tmp_path / "later", QUICK, start=last, max_epochs=EPOCHS, patience=2)
    assert resumed.progress.history == rows[:expected]
    assert resumed.progress.stopped == "patience"


def test_a_budget_stops_after_an_epoch(tmp_path: Path) -> None:
    module, *_ = fit(tmp_path, max_epochs=3, max_minutes=1e-9)
    assert (len(module.progress.history), module.progress.stopped) == (1, "max_minutes")
    module, *_ = fit(tmp_path / "long", max_epochs=2, max_minutes=1e9)
    assert (len(module.progress.history), module.progress.stopped) == (2, "")


def test_a_run_that_was_stopped_and_killed_trains_no_further(senet: Senet, tmp_path: Path) -> None:
    line = [*TINY, "trainer.max_epochs=3", "trainer.max_minutes=1e-9"]
    first = senet(*line)
    assert first.code == 0
    [file] = tmp_path.glob("outputs/*/*/seed0/result.json")
    record = read_record(file)
    assert record.ended == Ended(1, "max_minutes")
    file.unlink()
    status = file.with_name("status.json")
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "interrupted"}))
    assert senet(*line).code == 0
    again = read_record(file)
    assert (again.ended, again.metrics) == (record.ended, record.metrics)
    assert len(file.with_name("metrics.csv").read_text().splitlines()) == 2


def test_a_whole_run_ended_by_its_length(senet: Senet, tmp_path: Path) -> None:
    assert senet(*TINY, "trainer.max_epochs=1", "trainer.patience=5").code == 0
    [file] = tmp_path.glob("outputs/*/*/seed0/result.json")
    assert read_record(file).ended == Ended(1, "max_epochs")
