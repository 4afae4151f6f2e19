"""`trainer.devices=N`: start the N processes of a run, wait for them, and read their result."""

import logging

import torch

from senet_train.errors import (
    Diverged,
    HeldError,
    InputError,
    Interrupted,
    RunError,
    counted,
)
from senet_train.runs.curves import read_epochs
from senet_train.runs.folder import RunFolder
from senet_train.runs.record import read_record
from senet_train.runs.status import read_status
from senet_train.system.lock import file_lock
from senet_train.system.signals import describe_end
from senet_train.training.distributed.processes import run_in_processes
from senet_train.training.ends import add_way_on
from senet_train.training.make_record import environment_of
from senet_train.training.notices import report_finished
from senet_train.training.plan import Plan
from senet_train.training.resume import find_start, provenance_of, refuse_ended_badly

log = logging.getLogger("senet_train")

ERROR_OF_EXIT_CODE: dict[int, type[RunError]] = {
    InputError.exit_code: InputError,
    HeldError.exit_code: HeldError,
}


def launch(plan: Plan, command: list[str], wait: bool) -> float:
    """Run the command in `trainer.devices` processes; the validation score of the run.

    Raises InputError, HeldError, RunError with what became of the run, Interrupted.
    """
    folder, trainer = plan.folder, plan.config.trainer
    with file_lock(folder.lock, str(folder.path), wait=wait):
        if folder.settled and not plan.config.overwrite:  # another process has finished it since
            return report_finished(plan)
        if plan.config.retry == "none" and not plan.config.overwrite:
            refuse_ended_badly(folder)
        # For its errors: raised here they are one line, and not one of each process.
        environment = environment_of(plan)
        provenance = provenance_of(environment, plan)
        find_start(folder, provenance, environment.threads, plan.config.overwrite)
    threads = max(1, torch.get_num_threads() // trainer.devices)
    each = "a GPU" if plan.on_gpu else counted(threads, "thread")
    log.info("%d processes share every batch, with %s each", trainer.devices, each)
    try:
        exit_code = run_in_processes(trainer.devices, [*command, "hydra.mode=RUN"], threads)
    except Interrupted as end:
        add_way_on(folder, end)
        raise
    return result_of(folder, trainer.devices, exit_code)


def result_of(folder: RunFolder, num_processes: int, exit_code: int) -> float:
    """The validation score in the run folder. Raises RunError if the run did not finish."""
    status = read_status(folder.path)
    if exit_code == 0 and folder.finished:
        return read_record(folder.path / "result.json").metrics.val_score
    if exit_code == 0 and status and status.state == "pruned":
        return max(epoch.val_score for epoch in read_epochs(folder.path))
    error = ERROR_OF_EXIT_CODE.get(exit_code, RunError)
    if exit_code == Diverged.exit_code and status and status.state == "diverged":
        error = Diverged
    became = f"{status.state} ({status.reason})" if status else "not begun"
    how = describe_end(exit_code)
    raise error(f"{folder.path} of {num_processes} processes: {became}, {how}")
