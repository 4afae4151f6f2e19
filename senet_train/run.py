"""One run, from a configuration to a record: the straight line of the whole program.

configuration -> plan (checked, nothing written) -> lock -> folder -> fit, test -> record
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from omegaconf import OmegaConf

from senet_train import __version__
from senet_train.agreement import meet, of_first, peers_explained, together
from senet_train.atomic import write_json, write_text
from senet_train.checkpoint_io import LAST, checkpoint_bytes, previous
from senet_train.config import Config, Data
from senet_train.crew import crew
from senet_train.data.images import workers_explained
from senet_train.environment import code_hash, describe_environment
from senet_train.errors import (
    Diverged,
    HeldError,
    InputError,
    Interrupted,
    OutOfMemory,
    PeerLost,
    Pruned,
    RunError,
)
from senet_train.fit import Fitted, fit_and_test
from senet_train.identity import as_tree
from senet_train.lock import hold
from senet_train.memory import shortage_explained, spare_what_is_loaded
from senet_train.plan import Plan, make_plan
from senet_train.record import (
    SCHEMA,
    AttentionSlot,
    Cost,
    Environment,
    RunRecord,
    read_record,
    write_record,
)
from senet_train.resume import find_start, made_by, refuse_ended_badly
from senet_train.run_folder import (
    RunFolder,
    count_running,
    read_status,
    refuse_clash,
    refuse_full_disk,
)
from senet_train.several import run_in_processes
from senet_train.signals import pending
from senet_train.speed import median_and_quartiles
from senet_train.summary import network_line, print_summary
from senet_train.sweep_view import rows_of

log = logging.getLogger("senet_train")

NOT_ALWAYS_THERE = ("timm",)  # libraries whose version is noted where a network is theirs


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
    several = plan.config.trainer.devices > crew().size  # then the first of them announces it
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
    with together(plan.on_gpu), held(folder, wait):
        if folder.finished and folder.aside.exists():  # an overwrite was cut at its last step
            if crew().leads:
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
    if not crew().leads:
        meet()
        yield
        return
    with hold(folder.lock, str(folder.path), wait=wait):
        meet()
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
        return max(score for score, _ in rows_of(folder.path / "metrics.csv"))
    became = f"{status.state} ({status.reason})" if status else "not begun"
    kind: type[RunError] = ENDS.get(code, RunError)
    if code == Diverged.exit_code and status and status.state == "diverged":
        kind = Diverged
    raise kind(f"{folder.path} of {trainer.devices} processes: {became}, exit code {code}")


# What a run of several processes ended with, by its exit code.
ENDS = {InputError.exit_code: InputError, HeldError.exit_code: HeldError}


def announce(plan: Plan) -> None:
    """The network in one line, and a warning for what hardly anyone would have meant."""
    log.info(network_line(plan.identity.label, plan.cost, plan.slots, plan.own_attention))
    single = sorted({slot.channels for slot in plan.slots if slot.hidden == 1})
    if single:
        log.warning(
            "warning: one hidden unit at %s channels: where it is dead the gate is constant",
            ", ".join(map(str, single)),
        )
    if plan.weights and not plan.starts_as_identity:
        log.warning(
            "warning: attention=%s does not start as the identity: from the first step on the "
            "network's logits are others than those of the weights that it loads",
            plan.config.attention.name,
        )
    if plan.config.optim.frozen == "backbone" and not plan.weights:
        log.warning("warning: optim.frozen=backbone, and the backbone has learnt nothing yet")


def report_found(plan: Plan) -> float:
    """Print the table of the run that is already there; not a byte of it is touched."""
    record = read_found(plan)
    print_summary(record, plan.folder.path)
    return record.metrics.val_score


def read_found(plan: Plan) -> RunRecord:
    """The record of the run that is there, said in one line. Raises InputError if damaged."""
    path = plan.folder.path
    record = read_record(path / "result.json")
    log.info("found finished: %s (overwrite=true runs it anew)", path)
    if record.environment.code != code_hash():
        then = record.environment.versions["senet-train"]
        log.warning(
            "warning: it was made by other code: senet-train %s (code %s), now %s (code %s)",
            *(then, record.environment.code[:8], __version__, code_hash()[:8]),
        )
    return record


def environment_of(plan: Plan) -> Environment:
    """Where the run is made, with the versions of what its network and its task are of."""
    config = plan.config
    asked = (config.trainer.accelerator, config.trainer.precision, config.trainer.kernel)
    library = [name for name in NOT_ALWAYS_THERE if name == config.model.library]
    return describe_environment(*asked, [*library, *plan.task.packages])


def make_run(plan: Plan, overrides: list[str]) -> float:
    """Train and evaluate, from the last checkpoint on; the status is true however this ends."""
    folder, trainer = plan.folder, plan.config.trainer
    refuse_clash(folder.identity_file, plan.identity)
    environment = environment_of(plan)
    made = made_by(environment, trainer.devices)
    if not crew().leads:
        return follow(plan, made)
    start = find_start(folder, made, environment.threads, plan.config.overwrite)
    of_first(checkpoints_of(folder).index(start.checkpoint), start.threads)
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
    which, threads = map(int, of_first(0, 0))
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


@contextmanager
def troubles_explained(data: Data) -> Iterator[None]:
    """Raise errors of ours, with the way out, for those that torch has only words for."""
    with (
        shortage_explained(data.batch_size),
        peers_explained(),
        workers_explained(data.workers),
    ):
        yield


def note_end(folder: RunFolder, error: BaseException) -> None:
    """Say in the status how the run ended; on a full disk that may fail as the run itself did."""
    try:
        folder.set_state(end_state(error), reason_of(error))
    except OSError as second:
        log.warning("warning: %s keeps its old status: %s", folder.path, second)


def end_state(error: BaseException) -> str:
    """The status that an error leaves."""
    if isinstance(error, Interrupted | PeerLost) or pending():
        return "interrupted"
    return "diverged" if isinstance(error, Diverged) else "failed"


def reason_of(error: BaseException) -> str:
    """Why, for status.json: `oom` is a word that scripts look for."""
    name = "oom" if isinstance(error, OutOfMemory) else type(error).__name__
    return f"{name}: {error}"


def record_run(
    plan: Plan,
    overrides: list[str],
    environment: Environment,
    start: Path | None,
    made: dict[str, str],
) -> RunRecord:
    """Train, and say what was trained, how well, at what cost and where."""
    config, path = plan.config, plan.folder.path
    started, clock = datetime.now(UTC), time.perf_counter()
    write_text(path / "config.yaml", OmegaConf.to_yaml(as_tree(config)))
    write_json(path / "classes.json", list(plan.source.class_names))
    if start is None and plan.weights and plan.weights.sha256:
        origin = {"file": plan.weights.source, "sha256": plan.weights.sha256}
        write_json(path / "weights.json", origin)
    others = count_running(plan.folder.output_dir, but=path)
    with troubles_explained(config.data):
        fitted = fit_and_test(plan, start, made)
    others = max(others, count_running(plan.folder.output_dir, but=path))
    return RunRecord(
        schema=SCHEMA,
        label=plan.identity.label,
        identity=plan.identity.sha256,
        arm=plan.identity.arm,
        seed=config.seed,
        factor=config.factor,
        overrides=overrides,
        config=as_tree(config),
        data_fingerprint=plan.source.fingerprint,
        split_seed=config.data.split_seed,
        metrics=fitted.metrics,
        cost=cost_of(plan, fitted, fitted.earlier_seconds + time.perf_counter() - clock, others),
        attention=[AttentionSlot(**vars(slot)) for slot in plan.slots],
        environment=environment,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def cost_of(plan: Plan, fitted: Fitted, seconds: float, concurrent_runs: int) -> Cost:
    """Counted and measured cost together."""
    rate, quartiles = median_and_quartiles(fitted.rates)
    return Cost(
        **vars(plan.cost),
        images_per_second=rate,
        images_per_second_quartiles=quartiles,
        inference_ms=fitted.latency,
        peak_memory_bytes=fitted.peak_memory_bytes,
        seconds=seconds,
        concurrent_runs=concurrent_runs,
    )


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Copy our log to a file for the block, an error's traceback with it."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    except BaseException:
        log.debug("stopped by", exc_info=True)
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def arithmetic(deterministic: bool, threads: int) -> Iterator[None]:
    """For the block, deterministic algorithms alone if asked, and so many threads.

    Sums over parts of a batch are rounded by the number of threads that share it.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    # Filling new memory would cost a pass over every activation and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
