"""`logger=NAME`: what arrives, by the readers of those who made it; nothing leaves unasked."""

import csv
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pretended_mlflow import Server, pretended_mlflow
from support import TINY, Result, Senet, brief_runs_in, config, run_folders, status_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb_file import items, records

from senet_train.cli import main
from senet_train.commands.compare import main as compare
from senet_train.training.loggers import mlflow_tracker, tracked, weights_and_biases
from senet_train.training.loggers.tensorboard_file import EventFile
from senet_train.training.plan import make_plan

OF_WANDB = ("start_time", "telemetry")  # of every run: among them Python's version and its own
FINAL = {"final/val_top1", "final/test_top1", "final/test_loss"}


@dataclass(frozen=True)
class Made:
    """Two runs of one arm, each stopped after its first epoch and gone on with."""

    base: Path
    wandb: Path
    mlflow: Path
    server: Server
    before_mlflow: int  # requests


def refuse_the_world(patch: pytest.MonkeyPatch, proxy: str) -> None:
    """For this process sockets elsewhere are an error; others would ask the proxy, which counts."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), address
        connect(self, address)

    patch.setattr(socket.socket, "connect", guarded)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "WANDB_BASE_URL"):
        patch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        patch.delenv(name, raising=False)
    patch.setenv("WANDB_MODE", "online")  # the command decides
    patch.setenv("WANDB_API_KEY", "a" * 40)
    patch.setenv("MLFLOW_TRACKING_URI", proxy)


def stopped_and_gone_on_with(*words: str) -> None:
    """A signal comes with the first epoch; then the same line again."""
    write = EventFile.write

    def stop(self: EventFile, *arguments: Any) -> None:
        write(self, *arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventFile, "write", stop)
        assert main([*TINY, *words]) == 143
    # TensorBoard reads event files of one second and one process by name, of which 10 is before 9.
    time.sleep(1 - time.time() % 1)
    assert main([*TINY, *words]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    import wandb
    from wandb.sdk.wandb_run import Run

    base = tmp_path_factory.mktemp("logged")
    with pretended_mlflow() as server:
        with pytest.MonkeyPatch.context() as patch, brief_runs_in(base):
            refuse_the_world(patch, server.address)
            # W&B loads its launcher of jobs for this, which takes as long as all the rest.
            patch.setattr(Run, "_detect_and_apply_job_inputs", lambda run: None)
            stopped_and_gone_on_with("logger=wandb", "seed=0")
            wandb.teardown()
            before = len(server.arrived)
            address = f"logger.tracking_uri={server.address}"
            stopped_and_gone_on_with("logger=mlflow", address, "seed=1")
        first, second = run_folders(base)
        yield Made(base, first, second, server, before)


def rows_of(run: Path) -> list[dict[str, float]]:
    """metrics.csv, by its names of columns."""
    with (run / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def curves_of(run: Path) -> dict[str, dict[int, float]]:
    """TensorBoard's curves by tag and epoch, in float32, without the final metrics."""
    events = EventAccumulator(str(run)).Reload()
    tags = set(events.Tags()["scalars"]) - FINAL
    return {tag: {point.step: point.value for point in events.Scalars(tag)} for tag in tags}


def agree(found: dict[str, dict[int, float]], run: Path) -> None:
    """The same tags, epochs and values as TensorBoard's file has, which has every epoch once."""
    curves = curves_of(run)
    assert set(found) == set(curves) >= {"lr", "train/loss", "val/top1"}
    for tag, values in curves.items():
        assert found[tag] == pytest.approx(values, rel=1e-6)
        assert list(values) == [0, 1] == list(found[tag])


def test_wandb_has_every_epoch_once(made: Made) -> None:
    """Also those of before the run was stopped; and nothing was sent."""
    [folder] = (made.base / "outputs/wandb").glob("offline-run-*")
    [file] = folder.glob("*.wandb")
    found = list(records(file))
    [run] = [one.run for one in found if one.WhichOneof("record_type") == "run"]
    assert (run.display_name, run.run_group) == ("se_resnet8-r4-seed0", "fake-resnet8")
    assert list(run.tags) == [make_plan(config(*TINY)).identity.sha256]
    assert items(run.config.update)["lr"] == config(*TINY).optim.lr
    curves: dict[str, dict[int, float]] = {}
    for one in found:
        if one.WhichOneof("record_type") == "history":
            points = items(one.history.item)
            epoch = points.pop("trainer/global_step")
            for tag in {*points} - {"_step", "_timestamp", "_runtime"}:
                curves.setdefault(tag, {})[epoch] = points[tag]
    agree(curves, made.wandb)
    summary: dict[str, Any] = {}
    for one in found:
        summary |= items(one.summary.update)
    assert summary.keys() >= FINAL
    assert made.before_mlflow == 0


def test_wandb_has_nothing_of_this_machine(made: Made) -> None:
    """Neither its name, nor its user's, nor a path; no code, packages, console output or git."""
    [folder] = (made.base / "outputs/wandb").glob("offline-run-*")
    [file] = folder.glob("*.wandb")
    found = list(records(file))
    kinds = {one.WhichOneof("record_type") for one in found}
    assert kinds <= {"header", "run", "telemetry", "metric", "summary", "history", "exit"}
    [run] = [one.run for one in found if one.WhichOneof("record_type") == "run"]
    said = {field.name for field, _ in run.ListFields()}
    assert said <= {
        *("run_id", "project", "config", "run_group", "display_name", "tags"),
        *OF_WANDB,
    }
    content = file.read_bytes()
    assert str(made.base).encode() not in content
    assert b"pytest" not in content
    assert not list(folder.rglob("*.txt")) + list(folder.rglob("*.py"))


def test_mlflow_has_every_epoch_once(made: Made) -> None:
    [run_id] = made.server.runs
    run = made.server.runs[run_id]
    assert made.server.experiments == {"fake-resnet8": "1"}
    assert run["info"]["run_name"] == "se_resnet8-r4-seed1"
    assert run["info"]["status"] == "FINISHED"
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert tags.pop("senet_train.identity") == make_plan(config(*TINY)).identity.sha256
    assert set(tags) == {"senet_train.folder", "senet_train.plan"}
    curves: dict[str, dict[int, float]] = {}
    for point in made.server.metrics[run_id]:
        values = curves.setdefault(point["key"], {})
        assert int(point.get("step", 0)) not in values
        values[int(point.get("step", 0))] = point["value"]
    assert curves.keys() >= FINAL
    agree({tag: curves[tag] for tag in curves.keys() - FINAL}, made.mlflow)
    stopped = [said["status"] for _, path, said in made.server.arrived if "update" in path]
    assert stopped == ["RUNNING", "KILLED", "RUNNING", "FINISHED"]


def test_mlflow_has_no_weights_and_nothing_of_this_machine(made: Made) -> None:
    assert len(made.server.arrived) > made.before_mlflow
    paths = {path.rpartition("/mlflow/")[2] for _, path, _ in made.server.arrived}
    assert not any("artifact" in path or "model" in path for path in paths)
    said = repr(made.server.arrived)
    assert str(made.base) not in said
    assert not {"mlflow.user", "mlflow.source.name", "mlflow.source.git.commit"} & set(
        said.split("'")
    )


def test_a_finished_run_sends_nothing_anew(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made.base)
    before = len(made.server.arrived)
    address = f"logger.tracking_uri={made.server.address}"
    assert main([*TINY, "seed=1", "logger=mlflow", address]) == 0
    assert "found finished" in capsys.readouterr().err
    assert len(made.server.arrived) == before


def test_runs_of_other_loggers_compare(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made.base)
    assert made.wandb.parent == made.mlflow.parent
    assert compare(["outputs", f"--baseline={made.wandb.parent.name}"]) == 0
    printed = capsys.readouterr()
    assert "logger" not in printed.out + printed.err
    assert "warning" not in printed.err


def test_csv_is_metrics_csv_alone(senet: Senet, tmp_path: Path, made: Made) -> None:
    result = senet(*TINY, "logger=csv")
    [run] = run_folders(tmp_path)
    assert f"curves: {run.relative_to(tmp_path) / 'metrics.csv'}\n" in result.out
    assert run.parent.name == made.wandb.parent.name
    assert not list(run.rglob("*tfevents*"))
    assert list(made.wandb.rglob("*tfevents*"))
    timed = {"seconds", "images_per_second"}
    ours, theirs = (
        [{key: row[key] for key in row.keys() - timed} for row in rows_of(folder)]
        for folder in (run, made.wandb)
    )
    assert ours == theirs
    assert len(ours) == 2


def test_a_tracker_that_fails_does_not_end_a_run(senet: Senet, tmp_path: Path) -> None:
    """It is broken from the second epoch on."""
    with pretended_mlflow() as server, pytest.MonkeyPatch.context() as patch:
        write = mlflow_tracker.MLflowRun.write

        def breaks(self: Any, points: Any, epoch: int) -> None:
            server.broken = epoch == 1
            write(self, points, epoch)

        patch.setattr(mlflow_tracker.MLflowRun, "write", breaks)
        result = senet(*TINY, "logger=mlflow", f"logger.tracking_uri={server.address}")
        [points] = server.metrics.values()
    assert result.code == 0
    assert result.err.count("warning: MLflow has failed and gets no more of this run") == 1
    assert {int(point.get("step", 0)) for point in points} == {0}
    [run] = run_folders(tmp_path)
    assert status_of(run)["state"] == "finished"
    assert len(rows_of(run)) == 2


def refused(result: Result, words: str, folder: Path) -> None:
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert words in result.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_a_missing_package_is_named(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: str
) -> None:
    monkeypatch.setattr(tracked, "find_spec", lambda module: None)
    result = senet(*TINY, f"logger={logger}")
    refused(result, f"logger={logger} needs the package", tmp_path)
    assert f"pip install 'senet-train[{logger}]'" in result.err


def test_online_needs_a_key(
    senet: Senet, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    keys = tmp_path_factory.mktemp("keys") / "netrc"
    keys.write_text("machine elsewhere.org login user password x\n")
    monkeypatch.setenv("NETRC", str(keys))
    result = senet(*TINY, "logger=wandb", "logger.online=true")
    refused(
        result, "logger.online=true needs a key for https://api.wandb.ai: say wandb login", tmp_path
    )
    keys.write_text("machine api.wandb.ai login user password x\n")
    assert weights_and_biases.has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.here.org")
    assert not weights_and_biases.has_key()


@pytest.mark.parametrize("secret", ["user:SECRET@", "SECRET@", ":SECRET@"])
def test_no_secret_is_written(senet: Senet, tmp_path: Path, secret: str) -> None:
    result = senet(*TINY, "logger=mlflow", f"logger.tracking_uri='http://{secret}host:5000'")
    refused(result, "has a name, a password or a query in it", tmp_path)
    assert "SECRET" not in result.err


def test_an_id_of_another_tracker_or_a_damaged_one_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert tracked.kept_id(tmp_path, "mlflow", "local") == ""  # a run that was never there
    tracked.keep_id(tmp_path, tracked.Tracked("mlflow", "local", "abc"))
    assert tracked.kept_id(tmp_path, "mlflow", "local") == "abc"
    assert tracked.kept_id(tmp_path, "mlflow", "http://host") == ""
    assert tracked.kept_id(tmp_path, "wandb", "") == ""
    tracked.keep_id(tmp_path, tracked.Tracked("wandb", "", "abc"))
    file = tmp_path / tracked.TRACKER_FILE
    file.write_text(file.read_text().replace("abc", "../../abc"))
    assert caplog.text == ""
    assert tracked.kept_id(tmp_path, "wandb", "") == ""
    assert "tracker.json cannot be read: at the tracker this is another run" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload``")  # of MLflow's, as this test reads
def test_a_sweep_shares_a_local_database(command: Any, tmp_path: Path) -> None:
    """Four runs, two at once, of a planned study; the first of them makes the database."""
    from mlflow import MlflowClient

    table = ('arms=[["attention=none"],["attention=se"]]', "seeds=2", "hydra.launcher.jobs=2")
    settings = [word for word in TINY if not word.startswith("model")]
    process = command(*settings, "model=resnet8", "logger=mlflow", *table)
    assert process.wait() == 0
    [plan] = tmp_path.glob("outputs/fake/plans/*.json")
    client = MlflowClient(f"sqlite:///{tmp_path / 'outputs/mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name(f"fake-plan-{plan.stem}")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    names = {f"{label}-seed{seed}" for label in ("resnet8", "se_resnet8-r4") for seed in (0, 1)}
    assert {run.info.run_name for run in runs} == names
    assert len(runs) == 4
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "val/top1")
        assert sorted(point.step for point in history) == [0, 1]
        assert run.data.metrics.keys() >= FINAL
        assert run.info.status == "FINISHED"
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.slow
def test_of_two_processes_one_logs(command: Any, tmp_path: Path) -> None:
    process = command(*TINY, "logger=wandb", "trainer.devices=2", "trainer.accelerator=cpu")
    assert process.wait() == 0
    [folder] = (tmp_path / "outputs/wandb").glob("offline-run-*")
    [file] = folder.glob("*.wandb")
    kinds = [one.WhichOneof("record_type") for one in records(file)]
    assert kinds.count("history") == 2
    assert shutil.which("wandb") is None or kinds.count("run") == 1
