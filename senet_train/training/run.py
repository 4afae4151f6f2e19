"""One run, from a configuration to a record: the straight line of the whole program.

configuration -> plan (checked, nothing written) -> lock -> folder -> training and test -> record
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from senet_train.config.schema import Config
from senet_train.errors import Interrupted, Pruned
from senet_train.networks.hardware import use_no_more_threads_than_cores
from senet_train.runs.checkpoint_files import checkpoint_bytes, previous
from senet_train.runs.finished import keep_plan
from senet_train.runs.folder import LAST, RunFolder
from senet_train.runs.place import (
    refuse_clash,
    refuse_full_disk,
    refuse_link,
    refuse_long_path,
    refuse_unwritable,
)
from senet_train.runs.record import Environment, RunRecord, write_record
from senet_train.runs.study_plan import plan_that_counts, write_reference
from senet_train.runs.summary import print_summary
from senet_train.system.arithmetic import arithmetic
from senet_train.system.lock import file_lock
from senet_train.system.memory import freeze_garbage_collector
from senet_train.system.signals import hold_signals, let_signals_in
from senet_train.training.distributed.collectives import barrier, process_group
from senet_train.training.distributed.world import world
from senet_train.training.ends import (
    add_way_on,
    errors_of_threads_in_the_log,
    explain_errors,
    log_to_file,
    write_end_status,
)
from senet_train.training.fit import fit_and_test
from senet_train.training.launch import launch
from senet_train.training.longer import go_on_from_shorter
from senet_train.training.make_record import environment_of, make_record
from senet_train.training.notices import announce, report_finished
from senet_train.training.plan import Plan, make_plan, refuse_far_too_few_images
from senet_train.training.resume import (
    Start,
    broadcast_start,
    checkpoints_to_resume,
    find_start,
    provenance_of,
    receive_start,
    refuse_ended_badly,
)

log = logging.getLogger("senet_train")

Trained = tuple[RunRecord, Callable[[], None]]  # the record, and what draws its pictures


def run(
    config: Config,
    overrides: list[str],
    made: set[Path],
    *,
    flags: Sequence[str] = (),
    wait: bool = False,
) -> float | None:
    """Train a run, resume an unfinished one, or report a finished one; its validation score.

    The score is that of the best epoch, or of the best so far if a search stopped the run; None if
    dry. `made` holds the folders of the runs of this command: `overwrite=true` in a sweep trains no
    run twice. `flags` were given besides `overrides`. `wait` waits for a run that another process
    trains.

    Raises InputError before anything is written, HeldError if another process trains this run,
    RunError if it failed before, Diverged or any other error after `status.json` tells of it.
    """
    since_ns = time.time_ns()
    freeze_garbage_collector()
    use_no_more_threads_than_cores()
    plan = make_plan(config)
    refuse_far_too_few_images(plan.config, plan.source)
    folder = plan.folder
    refuse_clash(folder.identity_file, plan.identity.sha256)
    if config.dry_run:
        announce(plan)
        log.info("dry run: %s is %s", folder.path, "finished" if folder.finished else "to do")
        return None
    overwrite = config.overwrite and folder.path not in made
    made.add(folder.path)
    if folder.finished and not overwrite:
        score = report_finished(plan)
    elif plan.config.trainer.devices > world().size:
        make_ready(plan)
        score = launch(plan, [*flags, *overrides], wait)
    else:
        announce(plan)
        make_ready(plan)
        score = run_here(plan, overrides, overwrite, wait)
    keep(plan, config, since_ns)
    return score


def keep(plan: Plan, config: Config, since_ns: int) -> None:
    """Keep what the plan came to if its run has finished, so that no plan is made for it again."""
    weights_may_change = plan.weights is not None
    if world().is_rank_zero and plan.folder.settled and not weights_may_change:
        source, identity = plan.source, plan.identity.sha256
        keep_plan(config, plan.folder, identity, source.fingerprint, source.origins, since_ns)


def run_here(plan: Plan, overrides: list[str], overwrite: bool, wait: bool) -> float:
    """Train in this process, under the lock, unless another process has finished the run since."""
    folder = plan.folder
    with process_group(plan.on_gpu), run_lock(folder, wait):
        if folder.finished and folder.aside.exists():  # an overwrite was cut at its last step
            if world().is_rank_zero:
                folder.discard_aside()
            return report_finished(plan)
        if folder.finished and not overwrite:  # another process has finished it since
            return report_finished(plan)
        if plan.config.retry == "none" and not overwrite:
            refuse_ended_badly(folder)
        return train(plan, overrides)


def make_ready(plan: Plan) -> None:
    """Download missing data, and weights unless a checkpoint has them.

    Raises InputError where that fails, or the run's files would find no place.
    """
    refuse_long_path(plan.folder)
    refuse_unwritable(plan.folder.output_dir)
    refuse_link(plan.folder)
    refuse_full_disk(plan.folder.output_dir, checkpoint_bytes(plan.cost.parameters))
    plan.source.prepare()
    resumes = any(path.exists() for path in checkpoints_to_resume(plan.folder))
    if plan.weights and (plan.config.overwrite or not resumes):
        plan.weights.prepare()


@contextmanager
def run_lock(folder: RunFolder, wait: bool) -> Iterator[None]:
    """Hold the lock of the run for the block. Rank 0 takes it, and the other ranks wait for that.

    Raises HeldError, InputError.
    """
    if not world().is_rank_zero:
        barrier()
        yield
        return
    with file_lock(folder.lock, str(folder.path), wait=wait):
        barrier()
        yield


def train(plan: Plan, overrides: list[str]) -> float:
    """Train and test, from the last checkpoint if there is one; the validation score.

    Rank 0 writes the files of the run. `status.json` tells how it ended, whatever ends it.
    """
    folder = plan.folder
    refuse_clash(folder.identity_file, plan.identity.sha256)
    environment = environment_of(plan)
    provenance = provenance_of(environment, plan)
    if not world().is_rank_zero:
        return train_on_other_rank(plan, provenance)
    start = begin_or_resume(plan, provenance, environment.threads)
    broadcast_start(folder, start)
    try:
        training = partial(train_in_folder, plan, overrides, start, environment, provenance)
        record, draw = train_to_an_end(folder, training)
        folder.discard_aside()
        previous(folder.checkpoints / LAST).unlink(missing_ok=True)
        draw_pictures(draw)
        print_summary(record, folder.path)
    except Pruned as stop:
        log.info("pruned by %s; without hydra/sweeper it is trained to its end", stop)
        return stop.val_score
    except Interrupted as stop:
        add_way_on(folder, stop)
        raise
    return record.metrics.val_score


def begin_or_resume(plan: Plan, provenance: dict[str, str], threads: int) -> Start:
    """Where the run starts: in its own checkpoint, in that of a shorter run, or at zero."""
    folder, overwrite = plan.folder, plan.config.overwrite
    new = not (overwrite or folder.path.exists() or folder.aside.exists())
    notice = go_on_from_shorter(plan, provenance) if new else ""
    start = find_start(folder, provenance, threads, overwrite)
    return replace(start, notice=notice, taken_over=True) if notice else start


def train_to_an_end(folder: RunFolder, training: Callable[[], Trained]) -> Trained:
    """Train; then write the record, and the status that tells how the run has ended.

    No signal cuts these short: one that arrives meanwhile is raised afterwards.
    """
    with hold_signals():
        try:
            with let_signals_in():
                record, draw = training()
            write_record(record, folder.path / "result.json")
            write_finished(folder)
        except BaseException as error:
            if folder.path.is_dir() and not folder.finished:  # begin may not have moved the old run
                write_end_status(folder, error)
            raise
    return record, draw


def write_finished(folder: RunFolder) -> None:
    """Write the status of a run whose record is written: where that fails, the record says it."""
    try:
        folder.set_state("finished")
    except OSError as error:
        log.warning(
            "warning: %s has no status of its end (%s): the record is complete, and the same line "
            "finds it",
            *(folder.path, error),
        )


def draw_pictures(draw: Callable[[], None]) -> None:
    """Draw the pictures of a run that has finished: an error there takes nothing from it."""
    try:
        draw()
    except Exception as error:
        log.warning(
            "warning: the pictures of the test could not be drawn (%s: %s); the record is complete",
            *(type(error).__name__, error),
        )


def train_in_folder(
    plan: Plan,
    overrides: list[str],
    start: Start,
    environment: Environment,
    provenance: dict[str, str],
) -> Trained:
    """Fill the run folder, but for the record; the record, and what draws its pictures."""
    folder = plan.folder
    counted_by = plan_that_counts(folder.path.parents[1], plan.names, folder.seed)
    counted_by = replace(counted_by, arm=plan.open_arm)
    moved = folder.begin(plan.identity, keep=start.checkpoint is not None)
    if start.checkpoint is None or start.taken_over:  # one that goes on keeps what it began with
        write_reference(folder.path, counted_by)
    settings = arithmetic_of(plan, start.threads)
    with log_to_file(folder.path / "run.log"), errors_of_threads_in_the_log(), settings:
        for notice in filter(None, (start.notice, moved)):
            log.info(notice)
        environment = replace(environment, threads=start.threads)
        return make_record(plan, overrides, environment, start.checkpoint, provenance)


def arithmetic_of(plan: Plan, threads: int) -> AbstractContextManager[None]:
    """How this run computes, for a block."""
    return arithmetic(
        deterministic=plan.config.trainer.deterministic,
        cudnn_benchmark=plan.hardware.cudnn_benchmark,
        threads=threads,
    )


def train_on_other_rank(plan: Plan, provenance: dict[str, str]) -> float:
    """Train together with rank 0, from the checkpoint that it chose, and write no file."""
    start = receive_start(plan.folder)
    settings = arithmetic_of(plan, start.threads)
    try:
        with settings, explain_errors(plan.config.data):
            return fit_and_test(plan, start.checkpoint, provenance).metrics.val_score
    except Pruned as stop:
        return stop.val_score
