"""`hydra/sweeper=search`: the same trials twice, none lost, none doubled, none judged by the test.

Most trials here are not trained: a function of the learning rate stands in for training, and the
rest (plans, folders, statuses, records, optuna's journal) is real.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from compare_runs import record_of
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter
from support import TINY, Senet, run_folders

from senet_train.errors import Diverged, InputError, Interrupted, Pruned
from senet_train.networks.cost import NetworkCost
from senet_train.runs.record import RunRecord
from senet_train.runs.status import read_status
from senet_train.sweeps.search.space import num_points, read_space
from senet_train.sweeps.search.study import SAMPLERS, Study
from senet_train.training import plan, run
from senet_train.training.callbacks import journal, stop_request
from senet_train.training.plan import Plan

LR = "optim.lr=tag(log,interval(0.001,1))"
EPOCHS = 6
SEARCH = (
    *("hydra/sweeper=search", "hydra/launcher=basic"),
    *(word for word in TINY if not word.startswith(("ratio", "trainer.max_epochs"))),
    *("ratio=4", f"trainer.max_epochs={EPOCHS}"),
)


def num_trials(count: int) -> str:
    return f"hydra.sweeper.num_trials={count}"


def curve_of(lr: float) -> list[float]:
    """Validation top-1 by epoch: the closer the rate is to 1, the better, in every epoch."""
    return [round(lr**0.2 * epoch / EPOCHS, 6) for epoch in range(1, EPOCHS + 1)]


class Training:
    """Stands in for training: writes metrics.csv as a run does and stops when it is asked."""

    def __init__(self) -> None:
        self.rates: list[float] = []  # of each start
        self.test_top1 = 0.5
        self.seconds: Callable[[float], float] = lambda lr: 0.0  # to wait for a verdict
        self.trouble: dict[int, BaseException] = {}  # by start

    def __call__(self, planned: Plan, *arguments: Any) -> tuple[RunRecord, Callable[[], None]]:
        lr = planned.config.optim.lr
        self.rates.append(lr)
        if error := self.trouble.get(len(self.rates)):
            raise error
        file = planned.folder.path / "metrics.csv"
        file.write_text("epoch,val_top1,seconds\n")
        for epoch, value in enumerate(curve_of(lr)):
            with file.open("a") as handle:
                handle.write(f"{epoch},{value},1.0\n")
            self.obey(planned.folder.path, lr, epoch)
        config = {"attention": {"name": "se"}, "data": {"num_classes": 2}}
        plain = record_of("label", "arm", 0, max(curve_of(lr)), config, {}, [])
        record = TypeAdapter(RunRecord).validate_python(plain)
        metrics = replace(record.metrics, test_top1=self.test_top1)
        identity, seed = planned.identity.sha256, planned.config.seed
        return replace(record, metrics=metrics, identity=identity, seed=seed), lambda: None

    def obey(self, folder: Path, lr: float, epoch: int) -> None:
        request = folder / stop_request.FILE
        end = time.monotonic() + (self.seconds(lr) if epoch == 2 else 0.0)
        while time.monotonic() < end:
            if request.exists():
                raise Pruned(json.loads(request.read_text())["reason"], 0.0)
            time.sleep(0.01)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    stand_in = Training()
    monkeypatch.setattr(run, "make_record", stand_in)
    monkeypatch.setattr(run, "print_summary", lambda *arguments: None)
    cost = NetworkCost(100, 10, 1000, 0)
    monkeypatch.setattr(plan, "cost_at", lambda *arguments: cost)  # most of a plan's time
    monkeypatch.setattr(plan, "refuse_batch", lambda *arguments: None)
    return stand_in


def trials_in(base: Path) -> list[FrozenTrial]:
    """What optuna itself reads from the journal, dropped draws left out."""
    [file] = base.glob("search/*/journal.log")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    study = optuna.load_study(study_name=None, storage=storage)
    return [trial for trial in study.trials if trial.state != TrialState.FAIL]


def told(base: Path) -> list[tuple[dict[str, Any], float | None, str]]:
    return [(t.params, t.value, t.state.name) for t in trials_in(base)]


def space_of(*words: str) -> dict[str, Any]:
    return read_space(OverridesParser.create().parse_overrides(list(words)))[0]


def test_spaces_are_hydras_sweeps() -> None:
    assert space_of(
        "a=interval(0,1)",
        "b=tag(log,interval(0.1,1))",
        "c=int(interval(2,16))",
        "d=tag(log,int(interval(2,16)))",
        "e=range(2,9,3)",
        "f=range(0.5,2,0.5)",
        "g=4,8,4",
        "h=choice([1],[2])",
        "fixed=1",
    ) == {
        "a": FloatDistribution(0, 1),
        "b": FloatDistribution(0.1, 1, log=True),
        "c": IntDistribution(2, 16),
        "d": IntDistribution(2, 16, log=True),
        "e": IntDistribution(2, 8, step=3),
        "f": FloatDistribution(0.5, 1.5, step=0.5),
        "g": CategoricalDistribution(["4", "8"]),
        "h": CategoricalDistribution(["[1]", "[2]"]),
    }


@pytest.mark.parametrize(
    ("words", "points"),
    [
        (["g=4,8,4", "e=range(2,9,3)"], 6),
        (["f=range(0.5,2,0.5)", "c=int(interval(2,16))"], 45),
        (["g=4,8", "a=interval(0,1)"], float("inf")),
        (["a=interval(1,1)"], 1),
    ],
)
def test_points_of_a_space(words: list[str], points: float) -> None:
    assert num_points(space_of(*words)) == points


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("a=1", "there is nothing to search: give a space"),
        ("a=interval(2,1)", "a=interval(2,1): an interval goes from the smaller to the larger"),
        ("a=tag(log,interval(0,1))", "a logarithmic interval starts above 0"),
        ("a=tag(log,choice(1,2))", "the tag log means nothing here, only an interval has one"),
        ("a=range(8,4)", "a=range(8,4) holds no number: its end is before its start"),
        ("a=4,8 a=4", "a is given twice: leave one of them out"),
        ("a=4,8 a=interval(0,1)", "a is given twice: leave one of them out"),
        ("seed=0,1", "seed is nothing to search: give it one value, for all trials"),
    ],
)
def test_what_is_no_space(words: str, line: str) -> None:
    with pytest.raises(InputError, match=re.escape(line)):
        space_of(*words.split())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "there is nothing to search: give a space"),
        (f"{LR} hydra.sweeper.num_trials=0", "hydra.sweeper.num_trials=0: must be greater than"),
        (f"{LR} hydra.sweeper.sampler=cma", "hydra.sweeper.sampler=cma: must be 'tpe' or 'random'"),
        (f"{LR} hydra.sweeper.pruner=x", "hydra.sweeper.pruner=x: must be 'none' or 'median'"),
        (f"{LR} hydra.sweeper.trials=3", "there is no key hydra.sweeper.trials"),
        ("optim.lrr=1,2", "there is no key optim.lrr: did you mean optim.lr?"),
        ("optim.lr=interval(-1,1)", "optim.lr=-1.0: must be greater than 0"),
        ("data.cutout=interval(0,4)", "data.cutout=0.0: must be a valid integer"),
        ("attention.ratio=64,128", "ratio=64 leaves no hidden channel"),
        (f"{LR} seeds=3", "hydra/sweeper=search tries settings at one seed"),
        (f"{LR} 'arms=[[\"attention=none\"]]'", "hydra/sweeper=search tries settings at one seed"),
        (f"{LR} overwrite=true", "overwrite=true would train finished trials anew"),
        ("data.split_seed=0,1", "data.split_seed=1 has other validation images than"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    senet: Senet, tmp_path: Path, words: str, line: str
) -> None:
    result = senet(*SEARCH, *words.replace("'", "").split())
    assert result.code == 2, result.err
    assert line in result.err
    assert [word.startswith("error: ") for word in result.err.splitlines()] == [True]
    assert list(tmp_path.iterdir()) == []


def test_without_optuna(senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = senet(*SEARCH, LR)
    assert result.code == 2
    assert result.err == (
        "error: hydra/sweeper=search needs optuna: pip install senet-train[search]\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(senet: Senet, tmp_path: Path) -> None:
    result = senet(*SEARCH, LR, "dry_run=true")
    assert result.code == 0, result.err
    assert "optim.lr: FloatDistribution(high=1.0, log=True, low=0.001" in result.out
    assert "is to do" in result.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sampler", "count"), [("tpe", 4), ("random", 3)])
def test_the_same_trials_twice_whatever_the_test_says(
    senet: Senet,
    tmp_path: Path,
    training: Training,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    count: int,
) -> None:
    """Two trials more than the random ones that TPE begins with; another seed makes others."""
    begins_sooner = partial(optuna.samplers.TPESampler, n_startup_trials=2)  # the usual number: 10
    monkeypatch.setitem(SAMPLERS, "tpe", begins_sooner)
    words = (*SEARCH, LR, num_trials(count), f"hydra.sweeper.sampler={sampler}")
    assert senet(*words, "output_dir=a").code == 0
    training.test_top1 = 0.9
    assert senet(*words, "output_dir=b").code == 0
    assert told(tmp_path / "a") == told(tmp_path / "b")
    assert len(told(tmp_path / "a")) == count
    assert len(training.rates) == 2 * count
    assert senet(*words, "output_dir=c", "hydra.sweeper.seed=1", num_trials(1)).code == 0
    assert told(tmp_path / "c")[0] != told(tmp_path / "a")[0]


def test_told_is_validation_top1_of_the_record(senet: Senet, tmp_path: Path) -> None:
    """Real runs, their best epoch not the last in general."""
    result = senet(*SEARCH, LR, num_trials(2), "trainer.max_epochs=3")
    assert result.code == 0, result.err
    records = [json.loads((folder / "result.json").read_text()) for folder in run_folders(tmp_path)]
    by_rate = {record["config"]["optim"]["lr"]: record["metrics"] for record in records}
    trials = trials_in(tmp_path / "outputs")
    assert len(trials) == 2
    for trial in trials:
        metrics = by_rate[trial.params["optim.lr"]]
        assert trial.value == metrics["val_top1"]
        assert trial.intermediate_values[metrics["best_epoch"] + 1] == metrics["val_top1"]
        assert len(trial.intermediate_values) == 3
    assert "val top-1" in result.out
    assert "'seeds=[1,2,3,4,5]'" in result.out


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """The `call`-th call of a method never returns."""
    real, calls = getattr(owner, name), []

    def method(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise Interrupted(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, method)


KILLS = (
    (optuna.storages.JournalStorage, "set_trial_param", 4),  # of two, the trial has one
    (Training, "obey", EPOCHS + 3),
    (Study, "tell", 2),
    (optuna.storages.JournalStorage, "set_trial_state_values", 2),
)


def test_cut_anywhere_the_same_line_goes_on(
    senet: Senet, tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second trial of three: none is lost, doubled or another."""
    words = (*SEARCH, LR, "optim.momentum=interval(0.5,0.9)", num_trials(3))
    assert senet(*words, "output_dir=whole").code == 0
    for number, (owner, name, call) in enumerate(KILLS):
        out, training.rates = f"output_dir=cut{number}", []
        with monkeypatch.context() as patch:
            kill_at(patch, owner, name, call)
            assert senet(*words, out).code == 143
        assert told(tmp_path / f"cut{number}")[0] == told(tmp_path / "whole")[0]
        assert len(training.rates) in (1, 2)
        assert senet(*words, out).code == 0
        assert told(tmp_path / f"cut{number}") == told(tmp_path / "whole")
        assert len(list(tmp_path.glob(f"cut{number}/fake/*/seed0"))) == 3
        assert len(training.rates) == (4 if name == "obey" else 3)  # a run that was cut goes on


def test_more_trials_go_on_with_a_search(senet: Senet, tmp_path: Path, training: Training) -> None:
    assert senet(*SEARCH, LR, num_trials(2)).code == 0
    assert senet(*SEARCH, LR, num_trials(3)).code == 0
    assert len(told(tmp_path / "outputs")) == len(training.rates) == 3


def test_what_changes_the_trials_is_another_search(
    senet: Senet, tmp_path: Path, training: Training
) -> None:
    for words in ([], ["seed=1"], ["optim.momentum=0.8"], ["hydra.sweeper.pruner=median"]):
        assert senet(*SEARCH, LR, num_trials(1), *words).code == 0
    assert len(list(tmp_path.glob("outputs/search/*/journal.log"))) == 4
    assert senet(*SEARCH, LR, num_trials(1), "data.workers=1").code == 0  # changes no number
    assert len(list(tmp_path.glob("outputs/search/*/journal.log"))) == 4


def test_no_point_is_tried_twice(senet: Senet, tmp_path: Path, training: Training) -> None:
    assert senet(*SEARCH, "optim.lr=0.1,0.2,0.3", num_trials(9)).code == 0
    assert sorted(training.rates) == [0.1, 0.2, 0.3]
    assert len(told(tmp_path / "outputs")) == 3


def test_pruned_below_the_median(senet: Senet, tmp_path: Path, training: Training) -> None:
    """Which trials, and at which epoch, by a median taken here."""
    words = (*SEARCH, LR, num_trials(6), "hydra.sweeper.pruner=median")
    words = (*words, "hydra.sweeper.prune_after_trials=2", "hydra.sweeper.prune_after_epochs=3")
    finished: list[float] = []

    def seconds(lr: float) -> float:
        third = [curve_of(other)[2] for other in finished]
        if len(third) >= 2 and curve_of(lr)[2] < median(third):
            return 30.0
        finished.append(lr)
        return 0.5  # for a verdict that should not come

    training.seconds = seconds
    result = senet(*words)
    assert result.code == 0, result.err
    trials = trials_in(tmp_path / "outputs")
    for trial in trials:
        lr = trial.params["optim.lr"]
        curve = curve_of(lr) if lr in finished else curve_of(lr)[:3]
        assert trial.state == (TrialState.COMPLETE if lr in finished else TrialState.PRUNED)
        assert trial.intermediate_values == dict(enumerate(curve, start=1))
    pruned = [t.params["optim.lr"] for t in trials if t.state == TrialState.PRUNED]
    assert 1 <= len(pruned) <= 4
    statuses = [read_status(folder) for folder in run_folders(tmp_path)]
    assert {status.state for status in statuses if status} == {"finished", "pruned"}
    assert f"{len(pruned)} pruned" in result.out

    assert senet(*words).code == 0  # the same line trains none of them again
    assert len(training.rates) == 6

    training.seconds = lambda lr: 0.0
    plain = [word for word in SEARCH if not word.startswith("hydra/")]
    assert senet(*plain, f"optim.lr={pruned[0]}").code == 0
    assert training.rates[6:] == [pruned[0]]


def numbers(folder: Path) -> list[list[str]]:
    """metrics.csv without its two columns of time."""
    return [line.split(",")[:-2] for line in (folder / "metrics.csv").read_text().splitlines()]


def test_a_run_stops_when_asked_and_is_trained_on_to_the_same_bits(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_request, "EVERY_SECONDS", 0.0)
    words = (*TINY, "trainer.deterministic=true", "trainer.max_epochs=4")
    assert senet(*words, "output_dir=whole").code == 0
    append_row = journal.append_row

    def ask(folder: Path, row: dict[str, float], *, header: bool) -> None:
        append_row(folder, row, header=header)
        if row["epoch"] == 1:
            stop_request.request_stop(folder, "search 01234567: too slow")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append_row", ask)
        stopped = senet(*words)
    assert stopped.code == 0
    assert "pruned by search 01234567: too slow" in stopped.err
    [folder] = run_folders(tmp_path)
    status = read_status(folder)
    assert (status.state, status.reason) == ("pruned", "search 01234567: too slow")
    assert len(numbers(folder)) == 1 + 2
    assert not (folder / "result.json").exists()
    assert not (folder / "predictions.npz").exists()

    on = senet(*words)
    assert on.code == 0
    assert "an earlier try was left pruned: going on after 2 epochs and 1 batch" in on.err
    [whole] = tmp_path.glob("whole/*/*/seed0")
    assert numbers(folder) == numbers(whole)
    metrics = [json.loads((f / "result.json").read_text())["metrics"] for f in (folder, whole)]
    assert metrics[0] == metrics[1]
    assert not (folder / stop_request.FILE).exists()


def test_a_trial_that_diverges_is_an_answer(
    senet: Senet, tmp_path: Path, training: Training
) -> None:
    training.trouble = {1: Diverged("the loss is nan")}
    result = senet(*SEARCH, LR, num_trials(3))
    assert result.code == 0, result.err
    assert "trial 1 diverged: Diverged: the loss is nan" in result.out
    assert [state for *_, state in told(tmp_path / "outputs")] == ["PRUNED", "COMPLETE", "COMPLETE"]
    assert senet(*SEARCH, LR, num_trials(3)).code == 0
    assert len(training.rates) == 3


def test_a_trial_that_fails_stops_no_other_and_is_not_lost(
    senet: Senet, tmp_path: Path, training: Training
) -> None:
    training.trouble = {1: OSError("no space left")}
    words = (*SEARCH, LR, num_trials(3))
    result = senet(*words)
    assert result.code == 1
    assert "1 of 3 trials did not finish" in result.err
    assert "trial 1 (failed: OSError: no space left)" in result.err
    assert [state for *_, state in told(tmp_path / "outputs")] == [
        "RUNNING",
        "COMPLETE",
        "COMPLETE",
    ]
    assert senet(*words).code == 1  # left as it is, as every failed run
    assert len(training.rates) == 3
    assert senet(*words, "retry=failed").code == 0
    assert [state for *_, state in told(tmp_path / "outputs")] == ["COMPLETE"] * 3
    assert training.rates[3:] == training.rates[:1]


def test_what_cannot_exist_is_a_trial_that_is_not_run(
    senet: Senet, tmp_path: Path, training: Training
) -> None:
    words = [word for word in SEARCH if word != "ratio=4"]
    result = senet(*words, "ratio=4,64", num_trials(2))
    assert result.code == 0, result.err
    assert "cannot exist: ratio=64 leaves no hidden channel" in result.out
    assert len(training.rates) == 1
    assert sorted(state for *_, state in told(tmp_path / "outputs")) == ["COMPLETE", "PRUNED"]


@pytest.mark.slow
def test_sigkill_to_a_search(tmp_path: Path) -> None:
    """Real processes: each trial's run outlives the search, which finds it and goes on."""
    words = ["hydra/launcher=local", *SEARCH, LR, num_trials(4), "hydra.sweeper.batch=2"]
    words.remove("hydra/launcher=basic")
    command = [sys.executable, "-m", "senet_train", *words, "trainer.max_epochs=20"]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while len(list(tmp_path.glob("outputs/fake/*/seed0/metrics.csv"))) < 1:
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert [state for *_, state in told(tmp_path / "outputs")] == ["COMPLETE"] * 4
    assert len(list(tmp_path.glob("outputs/fake/*/seed0/result.json"))) == 4
