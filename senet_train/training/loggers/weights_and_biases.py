"""`logger=wandb`: the numbers of a run to Weights & Biases, on this disk until they are asked for.

W&B writes them in a process of its own, to `<output_dir>/wandb/`, and `wandb sync` sends them. With
`online` it sends them while the run trains. Numbers, names and settings go there; no weights,
pictures, code, console output, git or facts of the machine.
"""

import logging
import netrc
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from senet_train.errors import InputError
from senet_train.runs.status import State
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
    import wandb

log = logging.getLogger("senet_train")

NAME = "wandb"
SERVER = "https://api.wandb.ai"
INIT_SECONDS = 30.0  # for a server that does not answer
FINISH_SECONDS = 60.0  # for what is not sent yet when the run ends; it stays on the disk
# W&B refuses these in the name of a project.
NO_NAME, LONGEST_NAME = re.compile(r"[/\\#?%:\s]"), 128
STEP = "trainer/global_step"  # Lightning's name for the step, here the epoch


class WeightsAndBiases:
    """TensorBoard, and the same numbers to Weights & Biases."""

    def __init__(
        self, *, online: bool = False, project: str = "senet-train", entity: str = "auto"
    ) -> None:
        refuse_name("project", project)
        refuse_name("entity", entity)
        refuse_missing(NAME, {"wandb": "wandb"})
        if online and not has_key():
            raise InputError(
                f"logger.online=true needs a key for {server()}: say wandb login, or set "
                "WANDB_API_KEY (and WANDB_BASE_URL for a server of your own), or leave it out and "
                "say wandb sync later"
            )
        self.online, self.project, self.entity = online, project, entity

    def open(self, run: LoggedRun, points: Sequence[Points]) -> list[Sink]:
        """The event file, and the run at Weights & Biases."""
        tracker = Unfailing("Weights & Biases", lambda: WandbRun(self, run, points))
        return [*TensorBoard().open(run, points), tracker]


def refuse_name(key: str, name: str) -> None:
    """Raises InputError for what is no name of a project, user or team at W&B."""
    if not name or len(name) > LONGEST_NAME or NO_NAME.search(name):
        raise InputError(
            f"logger.{key}={name} is no name at Weights & Biases: write 1 to {LONGEST_NAME} "
            "characters without spaces and / \\ # ? % :"
        )


def server() -> str:
    """The address of Weights & Biases, or of the user's own server."""
    return os.environ.get("WANDB_BASE_URL") or SERVER


def has_key() -> bool:
    """Whether there is a key for the server, where W&B looks for one. Raises InputError."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    own = os.environ.get("NETRC")
    files = [Path(own)] if own else [Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return False
    try:
        return netrc.netrc(str(file)).authenticators(urlsplit(server()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError) as error:
        raise InputError(
            f"{file}, where wandb login keeps its key, cannot be read ({error}): set WANDB_API_KEY"
        ) from error


class WandbRun(Sink):
    """A run at Weights & Biases, which begins or goes on."""

    def __init__(self, options: WeightsAndBiases, run: LoggedRun, points: Sequence[Points]) -> None:
        from pytorch_lightning.loggers import WandbLogger

        self.run_id = kept_id(run.folder, NAME, "") or uuid4().hex[:16]
        keep_id(run.folder, Tracked(NAME, "", self.run_id))
        folder = run.output_dir / "wandb"
        self.experiment = begin(options, run, self.run_id)
        self.experiment.define_metric(STEP)
        self.experiment.define_metric("*", step_metric=STEP, step_sync=True)
        self.logger = WandbLogger(experiment=self.experiment)
        sent = self.experiment.summary.get(STEP) if options.online else None
        self.next_epoch = 0 if sent is None else int(sent) + 1
        for epoch, each in enumerate(points):
            self.write(each, epoch)
        if not options.online:
            self.remove_shorter(folder)
            log.info("Weights & Biases: offline, wandb sync %s sends it", self.place)

    @property
    def place(self) -> Path:
        """The folder that W&B writes the run to."""
        return Path(self.experiment.dir).parent

    def remove_shorter(self, folder: Path) -> None:
        """Delete what was written before the run was stopped: all its epochs are in the new one."""
        for other in folder.glob(f"offline-run-*-{self.run_id}"):
            if other.resolve() != self.place.resolve():
                shutil.rmtree(other, ignore_errors=True)

    def write(self, points: Points, epoch: int) -> None:
        if epoch >= self.next_epoch:  # what was sent cannot be taken back, and is the same
            self.logger.log_metrics(dict(points), step=epoch)
            self.next_epoch = epoch + 1

    def write_final(self, points: Points, best_epoch: int) -> None:
        """In the summary: a column of the table of runs."""
        self.experiment.summary.update({**points, "best_epoch": best_epoch})

    def close(self, state: State) -> None:
        self.experiment.finish(exit_code=0 if state == "finished" else 1)


def begin(options: WeightsAndBiases, run: LoggedRun, run_id: str) -> "wandb.Run":
    """The run at W&B. Raises W&B's errors where the server refuses it or does not answer."""
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # of W&B's own process, read at the import
    import wandb

    settings = wandb.Settings(
        mode="online" if options.online else "offline",
        base_url=server(),  # not that of a file in the working folder
        reinit="create_new",  # it is no run of the user's program
        resume="allow" if options.online else None,
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        finish_timeout=FINISH_SECONDS,
        host="",  # not this machine's name
        init_timeout=INIT_SECONDS,
        label_disable=True,
        sagemaker_disable=True,
        save_code=False,
        silent=True,
        stop_fn=lambda: None,  # nothing that W&B sends stops a run
        symlink=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_viewer=True,
        x_save_requirements=False,
    )
    return wandb.init(
        project=options.project,
        entity=None if options.entity == "auto" else options.entity,
        dir=str(run.output_dir),
        id=run_id,
        name=run.name,
        group=run.group,
        tags=[run.marks["identity"]],
        config={**run.hyperparameters, **run.marks},
        settings=settings,
    )
