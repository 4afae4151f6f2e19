"""One run, from a configuration to a record: the straight line of the whole program.

configuration -> plan (checked, nothing written) -> lock -> folder -> fit, test -> record
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from senet_train.config.schema import Config
from senet_train.errors import Diverged, Pruned, RunError
from senet_train.runs.checkpoint_files import LAST, checkpoint_bytes, previous
from senet_train.runs.curves import read_epochs
from senet_train.runs.folder import RunFolder, refuse_clash, refuse_full_disk
from senet_train.runs.record import read_record, write_record
from senet_train.runs.status import read_status
from senet_train.runs.summary import print_summary
from senet_train.system.lock import hold
from senet_train.system.memory import spare_what_is_loaded
from senet_train.training.distributed.collectives import barrier, broadcast, process_group
from senet_train.training.distributed.processes import run_in_processes
from senet_train.training.distributed.world import world
from senet_train.training.ends import ENDS, logging_to, note_end, troubles_explained
from senet_train.training.fit import arithmetic, fit_and_test
from senet_train.training.notices import announce, report_found
from senet_train.training.plan import Plan, make_plan
from senet_train.training.resume import find_start, made_by, refuse_ended_badly
from senet_train.training.write_record import environment_of, record_run

log = logging.getLogger("senet_train")


def run(
    config: Config,
    overrides: list[str],
    made: set[Path],
    *,
    flags: Sequence[str] = (),
    wait: bool = False,
) -> float | None:
    """Train, go on with an unfinished run, or find the finished one; its validation score.

    Of the best epoch, the best so far if a search stopped it; None if dry. `made` holds the runs of
    this command: `overwrite=true` in a sweep makes no run twice. `flags` were given besides
    `overrides`. `wait` waits for a run that another process makes.

    Raises InputError before anything is written, HeldError if another process makes this run,
    RunError if it failed before, Diverged or any other error after `status.json` tells of it.
    """
    spare_what_is_loaded()
    plan = make_plan(config)
    folder = plan.folder
    refuse_clash(folder.identity_file, plan.identity)
    several = plan.config.trainer.devices > world().size  # then the first of them announces it
    if not several:
        announce(plan)
    if config.dry_run:
        log.info("dry run: %s is %s", folder.path, "finished" if folder.finished else "to do")
        return None
    overwrite = config.overwrite and folder.path not in made
    made.add(folder.path)
    if folder.finished and not overwrite:
        return report_found(plan)
    refuse_full_disk(folder.output_dir, checkpoint_bytes(plan.cost.parameters))
    prepare(plan)
    if several:
        return run_in_several(plan, [*flags, *overrides], wait)
    with process_group(plan.on_gpu), held(folder, wait):
        if folder.finished and folder.aside.exists():  # an overwrite was cut at its last step
            if world().is_rank_zero:
                folder.discard_aside()
            return report_found(plan)
        if folder.finished and not overwrite:  # finished while we came
            return report_found(plan)
        if config.retry == "none" and not overwrite:
            refuse_ended_badly(folder)
        return make_run(plan, overrides)


def prepare(plan: Plan) -> None:
    """Fetch what is not here: data, and weights unless a checkpoint has them. Raises InputError."""
    plan.source.prepare()
    begun = any(path and path.exists() for path in checkpoints_of(plan.folder))
    if plan.weights and (plan.config.overwrite or not begun):
        plan.weights.prepare()


@contextmanager
def held(folder: RunFolder, wait: bool) -> Iterator[None]:
    """Hold the run for the block; of several processes the first does, and the others wait for it.

    Raises HeldError, InputError.
    """
    if not world().is_rank_zero:
        barrier()
        yield
        return
    with hold(folder.lock, str(folder.path), wait=wait):
        barrier()
        yield


def run_in_several(plan: Plan, command: list[str], wait: bool) -> float:
    """The same command once a device, its result read from the run folder.

    Raises HeldError, RunError with what became of it, Interrupted.
    """
    folder, trainer = plan.folder, plan.config.trainer
    with hold(folder.lock, str(folder.path), wait=wait):
        if folder.settled and not plan.config.overwrite:  # finished while we came
            return report_found(plan)
        if plan.config.retry == "none" and not plan.config.overwrite:
            refuse_ended_badly(folder)
        environment = environment_of(plan)
        made = made_by(environment, trainer.devices)
        find_start(folder, made, environment.threads, plan.config.overwrite)  # or one line, now
    threads = max(1, torch.get_num_threads() // trainer.devices)
    code = run_in_processes(trainer.devices, [*command, "hydra.mode=RUN"], threads)
    if code == 0 and folder.finished:
        return read_record(folder.path / "result.json").metrics.val_score
    status = read_status(folder.path)
    if code == 0 and status and status.state == "pruned":
        return max(epoch.val_score for epoch in read_epochs(folder.path))
    became = f"{status.state} ({status.reason})" if status else "not begun"
    kind: type[RunError] = ENDS.get(code, RunError)
    if code == Diverged.exit_code and status and status.state == "diverged":
        kind = Diverged
    raise kind(f"{folder.path} of {trainer.devices} processes: {became}, exit code {code}")


def make_run(plan: Plan, overrides: list[str]) -> float:
    """Train and evaluate, from the last checkpoint on; the status is true however this ends."""
    folder, trainer = plan.folder, plan.config.trainer
    refuse_clash(folder.identity_file, plan.identity)
    environment = environment_of(plan)
    made = made_by(environment, trainer.devices)
    if not world().is_rank_zero:
        return follow(plan, made)
    start = find_start(folder, made, environment.threads, plan.config.overwrite)
    broadcast(checkpoints_of(folder).index(start.checkpoint), start.threads)
    try:
        moved = folder.begin(plan.identity, keep=start.checkpoint is not None)
        with logging_to(folder.path / "run.log"), arithmetic(trainer.deterministic, start.threads):
            for notice in filter(None, (start.notice, moved)):
                log.info(notice)
            environment = replace(environment, threads=start.threads)
            record = record_run(plan, overrides, environment, start.checkpoint, made)
        write_record(record, folder.path / "result.json")
    except Pruned as stop:
        folder.set_state("pruned", str(stop))
        log.info("pruned by %s; without hydra/sweeper it is trained to its end", stop)
        return stop.val_score
    except BaseException as error:
        if folder.path.is_dir() and not folder.finished:  # begin may not have moved the old run yet
            note_end(folder, error)
        raise
    folder.set_state("finished")  # outside: a signal after it must not call the run interrupted
    folder.discard_aside()
    previous(folder.checkpoints / LAST).unlink(missing_ok=True)
    print_summary(record, folder.path)
    return record.metrics.val_score


def follow(plan: Plan, made: dict[str, str]) -> float:
    """Train beside the first process, from where it says, and write nothing."""
    which, threads = map(int, broadcast(0, 0))
    start = checkpoints_of(plan.folder)[which]
    try:
        with (
            arithmetic(plan.config.trainer.deterministic, threads),
            troubles_explained(plan.config.data),
        ):
            return fit_and_test(plan, start, made).metrics.val_score
    except Pruned as stop:
        return stop.val_score


def checkpoints_of(folder: RunFolder) -> list[Path | None]:
    """From what a run may start: nothing, its last checkpoint, the one before."""
    last = folder.checkpoints / LAST
    return [None, last, previous(last)]
