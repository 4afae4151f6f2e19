"""The sweeper `hydra/sweeper=search`: ask optuna for trials, launch them, tell it their results.

The launcher chosen by `hydra/launcher` runs the trials. A trial is kept in its run folder and in
optuna's journal, so the same command continues a search that was killed.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from senet_train.config.read import read_config
from senet_train.config.schema import Config
from senet_train.errors import CannotExist, InputError, Interrupted, RunError
from senet_train.runs.identity import LOCAL_DATA_KEYS, LOCAL_KEYS, TRAINER_KEYS, as_tree
from senet_train.runs.record import read_record
from senet_train.runs.status import read_status
from senet_train.sweeps.search.options import Options, read_options, refuse_overwrite, refuse_table
from senet_train.sweeps.sweeper import ArmSweeper, Job
from senet_train.sweeps.view import progress_of
from senet_train.system.files import write_json
from senet_train.system.lock import file_lock

if TYPE_CHECKING:  # optuna is an extra: Hydra imports this file without it, too
    from optuna.trial import Trial

    from senet_train.sweeps.search.space import Space
    from senet_train.sweeps.search.study import Study


log = logging.getLogger("senet_train")


class SearchSweeper(ArmSweeper):
    """Searches; `given` are the options of `options.Options`."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Search until `num_trials` are told; report. Raises InputError, HeldError, RunError."""
        options = read_options(self.given)
        refuse_missing_optuna()
        from senet_train.sweeps.search.report import print_dry_run, print_report
        from senet_train.sweeps.search.space import read_space
        from senet_train.sweeps.search.study import Study
        from senet_train.training.plan import resolve_hardware

        overrides = OverridesParser.create(config_loader=self.loader).parse_overrides(arguments)
        space, fixed = read_space(overrides)
        config = self.read_base(fixed)
        resolved = resolve_hardware(config) if self.made_here else config
        content = content_of(resolved, space, options, self.plan_corners(fixed, space))
        name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        folder = Path(config.output_dir).expanduser() / "search" / name[:8]
        if config.dry_run:
            print_dry_run(folder, space, options)
            return []
        with file_lock(folder / ".lock", str(folder)):
            write_json(folder / "study.json", {"sha256": name, **content})
            study = Study(folder, name, space, options)
            log.info("%s: %d of %d trials", folder, len(study.trials()), options.num_trials)
            unfinished = self.search(study, fixed)
            print_report(study, fixed, config.seed)
        if unfinished:
            raise RunError(
                f"{len(unfinished)} of {options.num_trials} trials did not finish (the same "
                f"line goes on with them; if failed, with retry=failed): {', '.join(unfinished)}"
            )
        return []

    def read_base(self, fixed: list[str]) -> Config:
        """The configuration that all trials share. Raises InputError."""
        tree = self.compose(fixed)
        refuse_table(tree)
        config = read_config(OmegaConf.create(tree))
        refuse_overwrite(config)
        return config

    def plan_corners(self, fixed: list[str], space: "Space") -> list[Job]:
        """Plan the ends of the space before anything is written. Raises InputError."""
        from senet_train.sweeps.search.space import corners, settings_of

        jobs, reasons = [], []
        for values in corners(space):
            try:
                jobs.append(self.plan_arm([*fixed, *settings_of(values)], []))
            except CannotExist as error:  # the trial itself will be told as such
                reasons.append(str(error))
        if not jobs:
            raise InputError(" and ".join(dict.fromkeys(reasons)))
        refuse_other_images(jobs)
        return jobs

    def search(self, study: "Study", fixed: list[str]) -> list[str]:
        """Try until there are enough trials; those whose run failed, and its state."""
        failed: dict[int, str] = {}
        while trials := next_trials(study, failed):
            failed |= self.try_batch(study, fixed, trials)
        return [f"trial {number} ({state})" for number, state in sorted(failed.items())]

    def try_batch(
        self, study: "Study", fixed: list[str], trials: Sequence["Trial"]
    ) -> dict[int, str]:
        """Launch the trials together and tell optuna their results; the states of failed ones."""
        from senet_train.sweeps.search.space import settings_of
        from senet_train.sweeps.search.watch import WatchedRun, watching

        planned: list[tuple[Trial, Job]] = []
        for trial in trials:
            number = study.position(trial)
            log.info("trial %d: %s", number, " ".join(settings_of(trial.params)))
            try:
                job = self.plan_arm([*fixed, *settings_of(trial.params)], [])
            except InputError as error:
                study.tell(trial, "cannot exist", reason=str(error))
                log.warning("trial %d cannot exist: %s", number, error)
            else:
                planned.append((trial, job))
        once = {job.plan.folder.path: (trial, job) for trial, job in reversed(planned)}
        to_run = [pair for pair in reversed(once.values()) if is_to_run(study, pair[1])]
        runs = [
            WatchedRun(trial, job.plan, job.plan.config.trainer.max_epochs) for trial, job in to_run
        ]
        if to_run:
            settings = [[*job.settings, "hydra.mode=MULTIRUN"] for _, job in to_run]
            try:
                with watching(study, runs):
                    self.launcher.launch(settings, initial_job_idx=to_run[0][0].number)
            except Interrupted as end:
                end.way_on = "the same line again goes on with the search, its running trials first"
                raise
        told = ((trial, tell(study, trial, job)) for trial, job in planned)
        return {study.position(trial): state for trial, state in told if state}


def next_trials(study: "Study", failed: Mapping[int, str]) -> list["Trial"]:
    """First the interrupted trials, then new ones; none when there are enough."""
    batch = study.options.batch
    interrupted = [trial for trial in study.interrupted() if study.position(trial) not in failed]
    if interrupted:
        return interrupted[:batch]
    asked = (study.ask() for _ in range(min(study.num_left(), batch)))
    return [trial for trial in asked if trial is not None]


def is_to_run(study: "Study", job: Job) -> bool:
    """Whether there is anything left to train; a run pruned by another search is trained on."""
    status = read_status(job.plan.folder.path)
    if status is None:
        return True
    if status.state == "pruned":
        return not status.reason.startswith(f"{study.label}:")
    return status.state != "diverged" or job.plan.config.retry == "failed"


def tell(study: "Study", trial: "Trial", job: Job) -> str:
    """Tell optuna how a trial ended, read from its run folder; the state of one that failed."""
    from senet_train.sweeps.search.watch import read_curve

    run = job.plan.folder.path
    status = read_status(run)
    state, reason = (status.state, status.reason) if status else ("not started", "")
    curve = read_curve(run)
    if state == "finished":
        try:
            value = read_record(run / "result.json").metrics.val_score
        except InputError as error:
            return f"damaged: {error}"
        study.report_all(trial, curve)
        study.tell(trial, state, value=value)
        log.info("trial %d: val score %.4f", study.position(trial), value)
    elif state in ("pruned", "diverged"):
        study.judge(trial, curve, job.plan.config.trainer.max_epochs)
        study.tell(trial, state, reason=reason)
        log.info("trial %d: %s (%s)", study.position(trial), state, reason)
    else:
        state = progress_of(job.plan).state
        return f"{state}: {reason}" if reason else state
    return ""


def refuse_missing_optuna() -> None:
    """Raises InputError where optuna is not installed."""
    try:
        import optuna.storages.journal  # noqa: F401  (not there before optuna 4)
    except ImportError:
        raise InputError(
            "hydra/sweeper=search needs optuna: pip install senet-train[search]"
        ) from None


def refuse_other_images(jobs: Sequence[Job]) -> None:
    """Trials must be judged on the same validation images. Raises InputError."""

    def validation(job: Job) -> tuple[str, int, float]:
        data = job.plan.config.data
        return job.plan.source.fingerprint, data.split_seed, data.val_fraction

    first = jobs[0]
    for job in jobs:
        if validation(job) != validation(first):
            changed = " ".join(word for word in job.settings if word not in first.settings)
            raise InputError(
                f"{changed} has other validation images than "
                f"{' '.join(word for word in first.settings if word not in job.settings)}, and "
                "trials are compared by them: search no setting that chooses or splits the data"
            )


def content_of(
    config: Config, space: "Space", options: Options, jobs: Sequence[Job]
) -> dict[str, Any]:
    """The content of study.json, whose hash is the name of the search."""
    from optuna.distributions import distribution_to_json

    tree = as_tree(config)
    tree["data"] = {key: tree["data"][key] for key in tree["data"] if key not in LOCAL_DATA_KEYS}
    tree["trainer"] = {key: tree["trainer"][key] for key in TRAINER_KEYS}
    chosen = vars(options)
    return {
        "space": {key: json.loads(distribution_to_json(value)) for key, value in space.items()},
        "options": {key: chosen[key] for key in chosen if key not in ("num_trials", "batch")},
        "seed": config.seed,
        "data_fingerprint": jobs[0].plan.source.fingerprint,
        "fixed": {key: tree[key] for key in tree if key not in LOCAL_KEYS},
    }
