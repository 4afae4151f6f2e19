"""`hydra/launcher=submitit_slurm` and `submitit_local`: a job of a cluster for each run.

The sweep submits the jobs and waits. They do not depend on it: if it is killed, they go on, and the
same command waits for them again.
"""

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.config.hydra_arguments import config_flags
from senet_train.config.read import explain
from senet_train.config.schema import STRICT, Count, Natural
from senet_train.errors import InputError, Interrupted
from senet_train.sweeps.launchers.children import REPEATED_LINES
from senet_train.sweeps.launchers.cluster_job import ClusterJob
from senet_train.sweeps.launchers.local import run_names, without_mode
from senet_train.sweeps.report import ProcessReturn
from senet_train.system.safe_path import SAFE_PATH, leave_out_the_working_folder

if TYPE_CHECKING:  # submitit is an extra: Hydra imports this file without it, too
    from submitit import Job

log = logging.getLogger("senet_train")


End = tuple[int | None, str]  # the exit code of a job, and the folder of its run
NO_RESULT: End = (None, "")
POLL_SECONDS = 1.0  # at the jobs' files
SQUEUE_SECONDS = 15.0  # to squeue: SLURM's controller serves the whole cluster
# The parameters without the cluster's name in front: submitit wants it before all others.
COMMON_PARAMETERS = {
    *("name", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "tasks_per_node")
}


@dataclass(frozen=True, config=STRICT)
class LocalQueue:
    """The settings of a job, by submitit's names."""

    submitit_folder: str
    name: str
    timeout_min: Count
    cpus_per_task: Count
    gpus_per_node: Natural


@dataclass(frozen=True, config=STRICT)
class SlurmQueue(LocalQueue):
    """The settings of a SLURM job; `auto` leaves the choice to the cluster."""

    partition: str
    account: str
    qos: str
    constraint: str
    mem_gb: Literal["auto"] | Annotated[float, Field(gt=0)]
    signal_delay_s: Count
    max_num_timeout: Natural
    array_parallelism: Count
    setup: list[str]
    nodes: Literal[1]
    tasks_per_node: Literal[1]
    additional_parameters: dict[str, str | int | bool]


class SubmititLauncher(Launcher):
    """Submits a job for each run; `cluster` is submitit's name for the kind of cluster."""

    cluster: ClassVar[str]
    queue: ClassVar[type[LocalQueue]]

    def __init__(self, **settings: Any) -> None:
        if sys.platform == "win32":
            raise InputError(
                f"hydra/launcher=submitit_{self.cluster} is not for Windows, where submitit does "
                "not run: choose hydra/launcher=local"
            )
        if importlib.util.find_spec("submitit") is None:
            raise InputError(
                f"hydra/launcher=submitit_{self.cluster} needs submitit: install the extra slurm "
                "(uv sync --extra slurm)"
            )
        self.read(settings)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.root, self.loader = config, hydra_context.config_loader
        self.flags = config_flags()

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit all and wait until the last has ended.

        A status is COMPLETED for the exit code 0, else FAILED. Raises InputError if the cluster
        does not take the jobs, Interrupted at a signal, which the jobs do not get.
        """
        settings = without_mode(job_overrides)
        composed = self.loader.load_sweep_config(self.root, list(settings[0]))
        queue = self.read({k: v for k, v in composed.hydra.launcher.items() if k != "_target_"})
        jobs = self.submit(
            queue,
            [
                ClusterJob((*self.flags, *words, "hydra.mode=RUN"), queue.cpus_per_task)
                for words in settings
            ],
        )
        log.info("%d jobs, from %s to %s", len(jobs), jobs[0].job_id, jobs[-1].job_id)
        try:
            ends = self.wait_for(jobs, run_names(settings))
        except Interrupted:
            log.warning("the jobs go on: the same line waits for what they make")
            raise
        done, failed = JobStatus.COMPLETED, JobStatus.FAILED
        return [
            ProcessReturn(status=done if code == 0 else failed, folder=folder)
            for code, folder in ends
        ]

    def read(self, settings: dict[str, Any]) -> Any:
        """The launcher's settings, typed and checked. Raises InputError."""
        given: Any = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)
        try:
            return TypeAdapter(self.queue).validate_json(json.dumps(given))
        except ValidationError as error:
            raise InputError(explain(error, given, "hydra.launcher.")) from None

    def submit(self, queue: LocalQueue, commands: Sequence[ClusterJob]) -> "list[Job[End]]":
        """One array of all commands. Raises InputError if it is refused, and leaves nothing."""
        import submitit
        from submitit.core.utils import FailedJobError, JobPaths

        leave_out_the_working_folder()
        given = self.parameters(queue)
        folder, limit = given.pop("submitit_folder"), given.pop("max_num_timeout", None)
        home = JobPaths.get_first_id_independent_folder(folder)
        before = home.exists()
        requeues = {} if limit is None else {f"{self.cluster}_max_num_timeout": limit}
        executor = submitit.AutoExecutor(folder, cluster=self.cluster, **requeues)
        names = {key: key if key in COMMON_PARAMETERS else f"{self.cluster}_{key}" for key in given}
        executor.update_parameters(**{names[key]: value for key, value in given.items()})
        jobs: list[Job[End]] = []
        try:
            with redirect_stderr(StringIO()), executor.batch():  # submitit prints what it raises
                jobs = [executor.submit(command) for command in commands]
        except FailedJobError as error:
            if not before:
                shutil.rmtree(home)
                with suppress(OSError):  # other runs are there
                    home.parent.rmdir()
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"the cluster does not take the jobs: {reason}") from None
        return jobs

    def parameters(self, queue: LocalQueue) -> dict[str, Any]:
        """The parameters for submitit, without those that are left to the cluster."""
        given = asdict(queue)
        empty = {key for key, value in given.items() if value in ("auto", [], {})}
        empty |= {"gpus_per_node"} if queue.gpus_per_node == 0 else set()
        return {key: value for key, value in given.items() if key not in empty}

    def wait_for(self, jobs: "Sequence[Job[End]]", names: Sequence[str]) -> list[End]:
        """How each job ended; logged as they end."""
        ends = [NO_RESULT] * len(jobs)
        left = dict(enumerate(jobs))
        while left:
            time.sleep(POLL_SECONDS)
            ended = self.ended(left.values())
            for number in [number for number, job in left.items() if job.job_id in ended]:
                job = left.pop(number)
                code, _ = ends[number] = end_of(job)
                for line in repeated_lines(job):
                    log.info("  %s", line)
                how = "ended without a result" if code is None else "done" if code == 0 else ""
                log.info("job %s, %s: %s", job.job_id, names[number], how or f"exit {code}")
        return ends

    @abstractmethod
    def ended(self, jobs: "Iterable[Job[End]]") -> set[str]:
        """The ids of the jobs that have ended."""


class SubmititLocalLauncher(SubmititLauncher):
    """The same jobs as processes of this machine."""

    cluster, queue = "local", LocalQueue

    def ended(self, jobs: "Iterable[Job[End]]") -> set[str]:
        return {job.job_id for job in jobs if job.done()}


class SlurmLauncher(SubmititLauncher):
    """An array of jobs; squeue tells which have ended, as not every cluster has an sacct."""

    cluster, queue = "slurm", SlurmQueue

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if shutil.which("sbatch") is None:
            raise InputError(
                "hydra/launcher=submitit_slurm finds no sbatch: start it on a node of the cluster, "
                "or choose hydra/launcher=local"
            )
        self.last_query, self.missing = 0.0, set[str]()

    def parameters(self, queue: LocalQueue) -> dict[str, Any]:
        """Jobs may be queued again, also where the cluster's default is that they may not."""
        given = super().parameters(queue)
        # For clusters that hand no variables on to a job.
        given["setup"] = [f"export {SAFE_PATH}=1", *given.get("setup", [])]
        more = {"requeue": True, **given.get("additional_parameters", {})}
        return {**given, "additional_parameters": more}

    def ended(self, jobs: "Iterable[Job[End]]") -> set[str]:
        """Those with a result, and those that squeue twice in a row does not list any more.

        Twice: a file written on another node may appear here some seconds later.
        """
        left = {job.job_id for job in jobs}
        finished = {job.job_id for job in jobs if job.paths.result_pickle.exists()}
        if time.monotonic() - self.last_query >= SQUEUE_SECONDS:
            self.last_query = time.monotonic()
            missing = left - still_queued(left)
            finished |= missing & self.missing
            self.missing = missing
        return finished


def still_queued(ids: set[str]) -> set[str]:
    """Those of the user's jobs that squeue still lists; all of them if SLURM does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8")
    return ids & set(answer.stdout.split()) if answer.returncode == 0 else ids


def end_of(job: "Job[End]") -> End:
    """What the job returned; NO_RESULT if it was killed before, or ended by an error."""
    from submitit.core.utils import UncompletedJobError

    if not job.paths.result_pickle.exists():
        return NO_RESULT
    try:
        return job.result()
    except UncompletedJobError:
        return NO_RESULT


def repeated_lines(job: "Job[End]") -> list[str]:
    """The lines of the job's log that the sweep repeats."""
    file = job.paths.stderr
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in lines if line.startswith(REPEATED_LINES)]
