"""`logger=mlflow`: the numbers of a run to MLflow, to a database on this disk or to your server.

Numbers, names and settings go there; no weights, pictures, code, git, user or path.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from senet_train.errors import InputError
from senet_train.runs.status import State
from senet_train.system.lock import file_lock
from senet_train.training.loggers.sink import LoggedRun, Points, Sink
from senet_train.training.loggers.tensorboard_file import TensorBoard
from senet_train.training.loggers.tracked import (
    Tracked,
    Unfailing,
    keep_id,
    kept_id,
    refuse_missing,
)

if TYPE_CHECKING:  # an extra
    from mlflow import MlflowClient

log = logging.getLogger("senet_train")

NAME, LOCAL = "mlflow", "local"
DATABASE = "mlflow.db"
# MLflow's words for how a run has ended.
ENDED = {"finished": "FINISHED", "interrupted": "KILLED", "pruned": "KILLED"}
# Read by MLflow at its import and at each request: no telemetry, no lines on the console.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# A server that does not answer holds the training up once, for so long; MLflow's own are 120 s and
# 7 times more. The user's are kept.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


class MLflow:
    """TensorBoard, and the same numbers to MLflow."""

    def __init__(self, *, tracking_uri: str = LOCAL) -> None:
        refuse_missing(NAME, {"mlflow": "mlflow-skinny"})
        if tracking_uri == LOCAL:
            refuse_missing(NAME, {"sqlalchemy": "sqlalchemy", "alembic": "alembic"})
        else:
            refuse_address(tracking_uri)
        self.tracking_uri = tracking_uri

    def open(self, run: LoggedRun, points: Sequence[Points]) -> list[Sink]:
        """The event file, and the run at MLflow."""
        tracker = Unfailing("MLflow", lambda: MLflowRun(self.tracking_uri, run, points))
        return [*TensorBoard().open(run, points), tracker]


def refuse_address(uri: str) -> None:
    """Raises InputError for what is no address of a server, or has a secret in it.

    The configuration is written to disk, and is a part of a record that is shared.
    """
    way_out = "write local, or the address of a server, such as http://HOST:5000"
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise InputError(f"logger.tracking_uri is no address ({error}): {way_out}") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError(
            "logger.tracking_uri has a name, a password or a query in it, and would be written to "
            "config.yaml and the record: leave it out, and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InputError(f"logger.tracking_uri={uri} is no address of a server: {way_out}")


class MLflowRun(Sink):
    """A run at MLflow, which begins or goes on."""

    def __init__(self, uri: str, run: LoggedRun, points: Sequence[Points]) -> None:
        os.environ.update(QUIET)
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        with place_of(uri, run.output_dir) as (address, artifacts):
            import mlflow
            from pytorch_lightning.loggers import MLFlowLogger

            self.client = mlflow.MlflowClient(address, registry_uri=address)
            run_id = known_run(self.client, kept_id(run.folder, NAME, uri))
            if not run_id:
                experiment = experiment_of(self.client, run.group, artifacts)
                tags = {f"senet_train.{key}": value for key, value in run.marks.items()}
                found = self.client.create_run(experiment, tags=tags, run_name=run.name)
                run_id = str(found.info.run_id)
            keep_id(run.folder, Tracked(NAME, uri, run_id))
            self.client.update_run(run_id, status="RUNNING")
            self.logger = MLFlowLogger(tracking_uri=address, run_id=run_id, synchronous=True)
            self.logger.log_hyperparams(dict(run.hyperparameters))
        log.info("MLflow: run %s of %s at %s", run.name, run.group, address)
        self.known = epochs_known(self.client, run_id, points)
        for epoch, each in enumerate(points):
            self.write(each, epoch)

    def write(self, points: Points, epoch: int) -> None:
        if epoch not in self.known:  # nothing can be taken back, and it is the same
            self.logger.log_metrics(dict(points), step=epoch)
            self.known.add(epoch)

    def write_final(self, points: Points, best_epoch: int) -> None:
        self.logger.log_metrics(dict(points), step=best_epoch)

    def close(self, state: State) -> None:
        self.logger.finalize(ENDED.get(state, "FAILED"))


@contextmanager
def place_of(uri: str, output_dir: Path) -> Iterator[tuple[str, str | None]]:
    """MLflow's address, and where it would put files, for a block that opens a run there.

    A local database is made by the first run that comes, in seconds, while others wait.
    """
    if uri != LOCAL:
        yield uri, None
        return
    folder = (output_dir / "mlflow").absolute()
    with file_lock(folder / ".lock", f"MLflow's database in {folder}", wait=True):
        yield f"sqlite:///{(folder / DATABASE).as_posix()}", (folder / "artifacts").as_uri()


def known_run(client: "MlflowClient", run_id: str) -> str:
    """The id if MLflow has this run, and it is not deleted; "" otherwise."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return ""
    try:
        found = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""
    return run_id if found.info.lifecycle_stage == "active" else ""


def experiment_of(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    """The id of the experiment of this name, which is made if there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException as error:  # another run of the table has made it since
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
            assert found is not None
    return str(found.experiment_id)


def epochs_known(client: "MlflowClient", run_id: str, points: Sequence[Points]) -> set[int]:
    """The epochs that MLflow has of a run already."""
    if not points:
        return set()
    tag = next(iter(points[0]))
    return {metric.step for metric in client.get_metric_history(run_id, tag)}
