"""The sweeper: arms x seeds x the command line's own sweeps, planned first, then launched.

Every network is built on the meta device before the first run starts, so that a network that
cannot exist is listed and skipped, equal networks are trained once, and a typing error costs no
time. The launcher chosen by `hydra/launcher` runs the jobs.
"""

import json
import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from senet_train.config.compose import combinations
from senet_train.config.read import read_config, unknown_key
from senet_train.config.typed_words import key_of
from senet_train.errors import CannotExist, InputError, Interrupted
from senet_train.runs.place import refuse_unwritable
from senet_train.sweeps.arms import Table, read_table, refuse_conflicts, refuse_mixed
from senet_train.sweeps.report import ProcessReturn, print_report
from senet_train.sweeps.view import live_view
from senet_train.system.console import say
from senet_train.training.distributed.world import world

if TYPE_CHECKING:
    from senet_train.sweeps.auto_seeds import GrowingStudy
    from senet_train.training.plan import Plan


log = logging.getLogger("senet_train")


# Launchers whose runs other machines make: what `auto` is there is not known here.
MADE_ELSEWHERE = ("submitit_slurm", "submitit_local")


@dataclass(frozen=True)
class Job:
    """One run to train: its settings, and the plan made from them."""

    settings: list[str]
    plan: "Plan"


@dataclass(frozen=True)
class SkippedArm:
    """An arm that is not run, and why."""

    settings: list[str]
    reason: str


class ArmSweeper(Sweeper):
    """`hydra/sweeper=arms`: see the module."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.root, self.loader = config, hydra_context.config_loader
        self.made_here = choice_of(config, "hydra/launcher") not in MADE_ELSEWHERE
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Plan every run, log what is skipped, launch the rest. Raises InputError, RunError."""
        if world().size > 1:
            raise InputError(
                "torchrun starts the processes of one run, and this is a sweep: leave torchrun "
                "out, and set trainer.devices"
            )
        arms, skipped, table = self.plan(arguments)
        if not arms:
            raise InputError(" and ".join(dict.fromkeys(arm.reason for arm in skipped)))
        study = self.study(arms) if table.seeds == "auto" else None
        from senet_train.sweeps.declare import Declared, DeclaredArm  # imports scipy

        declared = Declared.of([DeclaredArm(job.plan, job.settings, s) for job, s in arms], table)
        for arm in skipped:
            log.warning("skipped: %s: %s", " ".join(arm.settings), arm.reason)
        jobs = by_seed([(job, seeds[: study.look] if study else seeds) for job, seeds in arms])
        left = not all(job.plan.folder.finished for job in jobs)
        if left:
            declared.announce()
        if any(job.plan.config.dry_run for job in jobs):
            from senet_train.sweeps.dry_run import print_dry_run

            print_dry_run([job.plan for job in jobs], declared.rules())
            if study:
                say(*study.forecast().splitlines())
            return []
        with declared.written() if left else nullcontext():
            if left and not study:
                from senet_train.sweeps.dry_run import announce

                announce([job.plan for job in jobs], declared.rules())
            returns = self.run(jobs)
        while study and (going := study.judge()):
            fresh = by_seed(
                [
                    (job, seeds[study.last_look : study.look])
                    for job, seeds in arms
                    if job.plan.names[0] in going
                ]
            )
            jobs += fresh
            returns += self.run(fresh)
        if study:
            study.print_verdicts()
        print_report([job.plan for job in jobs], returns)
        return returns

    def run(self, jobs: list[Job]) -> list[JobReturn]:
        """Launch what is not finished; a finished run starts no process."""
        found = {position: finished_result(job) for position, job in enumerate(jobs)}
        ends = {position: end for position, end in found.items() if end is not None}
        left = [position for position in range(len(jobs)) if position not in ends]
        # Each job is composed anew, with one seed: it must still know that it is one of many.
        settings = [[*jobs[position].settings, "hydra.mode=MULTIRUN"] for position in left]
        if settings:
            refuse_unwritable(jobs[left[0]].plan.folder.output_dir)
            try:
                with self.view([jobs[position].plan for position in left]):
                    returns = self.launcher.launch(settings, initial_job_idx=0)
            except Interrupted as end:
                finished = sum(job.plan.folder.finished for job in jobs)
                end.way_on = (
                    f"{finished} of {len(jobs)} runs have finished, and the same line again goes "
                    "on with the others"
                )
                raise
            ends |= dict(zip(left, returns, strict=True))
            for position in left:
                jobs[position] = where_it_was_made(jobs[position], ends[position])
        return [ends[position] for position in range(len(jobs))]

    def view(self, plans: list["Plan"]) -> AbstractContextManager[None]:
        """The view of the runs; none where this process runs them and prints their progress."""
        if choice_of(self.root, "hydra/launcher") == "basic":
            return nullcontext()
        return live_view(plans)

    def study(self, arms: list[tuple[Job, list[int]]]) -> "GrowingStudy":
        """The table with seeds=auto. Raises InputError if its arms cannot be compared."""
        from senet_train.sweeps.auto_seeds import growing_study

        return growing_study([job.plan for job, _ in arms], min(len(seeds) for _, seeds in arms))

    def plan(
        self, arguments: list[str]
    ) -> tuple[list[tuple[Job, list[int]]], list[SkippedArm], Table]:
        """Every arm and its seeds, the arms left out, and the table that they are of."""
        parser = OverridesParser.create(config_loader=self.loader)
        arms: list[tuple[Job, list[int]]] = []
        skipped: list[SkippedArm] = []
        tables: list[Table] = []
        for base in combinations(parser.parse_overrides(arguments)):
            table = read_table(self.compose(base))
            refuse_conflicts(base, table)
            tables.append(table)
            for arm in table.arms or [[]]:
                try:
                    seeds = table.seed_list()
                    arms.append((self.plan_arm(base, arm, seeds), seeds))
                except CannotExist as error:
                    skipped.append(SkippedArm(arm or base, str(error)))
        refuse_mixed(tables)
        return without_duplicates(arms), skipped, tables[0]

    def plan_arm(self, base: list[str], arm: list[str], seeds: Sequence[int] = ()) -> Job:
        """The plan of one arm. Raises InputError, and Hydra's own errors for what is no setting."""
        from senet_train.training.plan import make_plan  # imports torch: seconds

        settings = [*base, *arm]
        try:
            composed = self.compose(settings)
        except ConfigCompositionException as error:
            key = unknown_key(error)
            if key and arm and any(key_of(word) == key for word in base):
                raise InputError(
                    f"{key} is set, and the table's arm {' '.join(arm)} has no such key: "
                    "leave it out, or write your own arms"
                ) from error
            raise
        config = read_config(OmegaConf.create(composed))
        return Job(settings, make_plan(config, seeds, made_here=self.made_here))

    def compose(self, settings: list[str]) -> dict[str, Any]:
        """The configuration with these settings, Hydra's own part left out."""
        config = self.loader.load_sweep_config(self.root, settings)
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def choice_of(config: DictConfig, group: str) -> str:
    """The option of a group that is in use."""
    return str(config.hydra.runtime.choices[group])


def finished_result(job: Job) -> JobReturn | None:
    """The result of a run that has finished already; None where it is to be trained."""
    from senet_train.runs.finished import read_finished

    if job.plan.config.overwrite or not job.plan.folder.settled:
        return None
    try:
        plan = job.plan
        record = read_finished(plan.folder, plan.identity.sha256, plan.source.doubt)
    except InputError:  # its record is damaged: the run says so, and fails alone
        return None
    return JobReturn(status=JobStatus.COMPLETED, _return_value=record.metrics.val_score)


def without_duplicates(arms: list[tuple[Job, list[int]]]) -> list[tuple[Job, list[int]]]:
    """Leave out arms that build the network of an earlier arm: ratios that give equal widths."""
    first: dict[str, Job] = {}
    seen: dict[str, set[int]] = {}
    kept = []
    for job, seeds in arms:
        key = network_key(job.plan)
        fresh = [seed for seed in seeds if seed not in seen.setdefault(key, set())]
        seen[key].update(seeds)
        if fresh:
            kept.append((job, fresh))
        if len(fresh) < len(seeds):
            same, other = " ".join(job.settings), " ".join(first[key].settings)
            log.warning("notice: %s is the same network as %s: run once", same, other)
        first.setdefault(key, job)
    return kept


def network_key(plan: "Plan") -> str:
    """A key that equal networks share: the identity with the widths in place of the ratio."""
    attention = dict(plan.identity.content["attention"])
    if any(slot.hidden for slot in plan.slots):
        attention.pop("ratio", None)
    slots = [asdict(slot) for slot in plan.slots]
    content = {**plan.identity.content, "attention": attention, "slots": slots}
    return json.dumps([str(plan.folder.output_dir), content], sort_keys=True)


def by_seed(arms: list[tuple[Job, list[int]]]) -> list[Job]:
    """The first seed of every arm, then the second, so that a cut study is balanced.

    With one seed the settings stay unchanged.
    """
    longest = max((len(seeds) for _, seeds in arms), default=0)
    return [
        with_seed(job, seeds[position])
        for position in range(longest)
        for job, seeds in arms
        if position < len(seeds)
    ]


def with_seed(job: Job, seed: int) -> Job:
    """The same arm at another seed: neither network nor identity depends on it."""
    if job.plan.config.seed == seed:
        return job
    return Job([*job.settings, f"seed={seed}"], job.plan.at_seed(seed))


def where_it_was_made(job: Job, end: JobReturn) -> Job:
    """The job with the folder that the run itself has told, of those that it may have."""
    told = end.folder if isinstance(end, ProcessReturn) else ""
    places = tuple(p for p in job.plan.places if os.path.abspath(p.folder.path) == told)
    return replace(job, plan=replace(job.plan, places=places)) if places else job
