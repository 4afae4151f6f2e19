"""Declare a table: write its plan before its first run starts, or find the plan that it has.

More seeds for the arms of a plan are an extension of it: that spends half of what was kept of the
error. How long an extension is may be chosen when the first seeds are known; half is little enough
for that (docs/evidence/verdicts.md).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from senet_train.compare import CONTROL
from senet_train.compare.judging import rule_of
from senet_train.compare.statistics.looks import FIRST_LOOK, LOOKS, Rule, errors_of_looks
from senet_train.config.typed_words import key_of
from senet_train.errors import InputError, counted, listed
from senet_train.runs.code import code_hash
from senet_train.runs.place import refuse_unwritable
from senet_train.runs.study_plan import (
    ERROR,
    PLANS,
    Chain,
    Declaration,
    Look,
    PlannedArm,
    StudyPlan,
    chains_in,
    write_plan,
)
from senet_train.sweeps.arms import WHOLE_TABLE_KEYS, Table
from senet_train.sweeps.controls import controls_of
from senet_train.training.plan import Plan

log = logging.getLogger("senet_train")

FEWEST_SEEDS = FIRST_LOOK  # a verdict takes; a table of fewer is a trial that spends no error


@dataclass(frozen=True)
class DeclaredArm:
    """An arm of the table: its plan, its settings as typed, and its seeds."""

    plan: Plan
    settings: list[str]
    seeds: list[int]

    @property
    def name(self) -> str:
        """The name by which a plan declares it: of its folder, unless the run finds that out."""
        return self.plan.names[0]

    @property
    def folder(self) -> Path:
        """The folder of its data, where plans lie."""
        return self.plan.folder.path.parents[1]


@dataclass(frozen=True)
class Declared:
    """The plans that a table needs before its first run: where each lies, and what it declares."""

    arms: list[DeclaredArm]
    found: list[tuple[Path, Declaration]]

    @classmethod
    def of(cls, arms: list[DeclaredArm], table: Table) -> "Declared":
        """One for each data set; none where no arm has a control, or all seeds are in a plan.

        Raises InputError for a primary arm that is no arm of the table, and for changed plans.
        """
        primary = primary_of(arms, table.primary)
        found = []
        for folder, here in by_folder(arms).items():
            planned = planned_arms(here)
            if planned:
                own = primary if primary in {one.arm for one in planned} else ""
                seeds = seeds_declared(max((arm.seeds for arm in here), key=len), table)
                names = {name: arm.name for arm in here for name in arm.plan.names}
                declaration = declare(folder, planned, own, seeds, table, names)
                found += [(folder, declaration)] if declaration else []
        return cls(arms, found)

    def rules(self) -> dict[str, Rule]:
        """Arm -> the rule that will judge it, for all arms in a plan."""
        rules: dict[str, Rule] = {}
        for folder in by_folder(self.arms):
            for chain in chains_in(folder):
                rules |= self.rule(chain)
        for folder, declaration in self.found:
            rules |= self.rule(extended(folder, declaration))
        return rules

    def rule(self, chain: Chain) -> dict[str, Rule]:
        """The folder of each arm of these plans -> their rule."""
        names = {name: arm.plan.identity.arm for arm in self.arms for name in arm.plan.names}
        rule = rule_of(chain, names)
        return {names.get(arm, arm): rule for arm in chain.last.runs_of}

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the plans for the block, and say what they declare.

        Where the runs of the block are refused, nothing has begun, and the plans are taken back.
        """
        made = []
        for output_dir in {arm.plan.folder.output_dir for arm in self.arms if self.found}:
            refuse_unwritable(output_dir)
        for folder, declaration in self.found:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            made += new_folders(folder / PLANS)
            made.append(write_plan(folder, StudyPlan(1, declaration, now, code_hash())))
            log.info("plan %s: %s", made[-1], in_words(declaration))
        try:
            yield
        except InputError:
            if not any(arm.plan.folder.path.parent.exists() for arm in self.arms):
                take_back(made)
            raise

    def announce(self) -> None:
        """Say which runs these plans do not count."""
        for folder, declaration in self.found:
            parents = extended(folder, declaration).plans[:-1]
            inherited = {seed for plan in parents for seed in plan.declaration.seeds}
            earlier = self.finished(folder, declaration, inherited)
            if earlier:
                log.warning(
                    "notice: %s of it had finished before, and do not count: arms that need them "
                    "are judged without a plan; seeds=[%d,...] are free",
                    counted(earlier, "run"),
                    max(declaration.seeds) + 1,
                )

    def finished(self, folder: Path, declaration: Declaration, inherited: set[int]) -> int:
        """How many runs of the plan have finished, but for the seeds that it inherits."""
        declared = set(declaration.runs_of)
        arms = [arm for arm in by_folder(self.arms)[folder] if declared & set(arm.plan.names)]
        places = [
            arm.plan.at_seed(seed).folder
            for arm in arms
            for seed in declaration.seeds
            if seed not in inherited
        ]
        return sum(place.finished for place in places)


def new_folders(path: Path) -> list[Path]:
    """The folders that are not there yet, the outermost first."""
    return [folder for folder in (*reversed(path.parents), path) if not folder.exists()]


def take_back(made: Sequence[Path]) -> None:
    """Remove files, and folders that are empty then, the last first."""
    for path in reversed(made):
        with suppress(OSError):  # a folder in which something is
            path.rmdir() if path.is_dir() else path.unlink()


def by_folder(arms: Sequence[DeclaredArm]) -> dict[Path, list[DeclaredArm]]:
    """The arms of each data set."""
    folders: dict[Path, list[DeclaredArm]] = {}
    for arm in arms:
        folders.setdefault(arm.folder, []).append(arm)
    return folders


def seeds_declared(seeds: list[int], table: Table) -> list[int]:
    """All seeds; with seeds=auto those up to the last look."""
    if table.seeds != "auto":
        return seeds
    return seeds[: max((look for look in LOOKS if look <= len(seeds)), default=0)]


def planned_arms(arms: Sequence[DeclaredArm]) -> list[PlannedArm]:
    """The arms that have a control. Raises InputError where several may be it."""
    controls = controls_of({arm.name: arm.plan for arm in arms}, CONTROL)
    named = {arm.name: arm for arm in arms}
    return [
        PlannedArm(name, controls[name], own_settings(arm.settings))
        for name, arm in named.items()
        if name in controls
    ]


def own_settings(settings: Sequence[str]) -> list[str]:
    """The settings of an arm, without those of the whole table."""
    return [word for word in settings if key_of(word) not in WHOLE_TABLE_KEYS]


def extended(folder: Path, declaration: Declaration) -> Chain:
    """The chain that the declaration, not written yet, is the last of."""
    new = StudyPlan(1, declaration, "", "")
    for chain in chains_in(folder):
        if declaration.parent == chain.last.name:
            return Chain([*chain.plans, new])
    return Chain([new])


def primary_of(arms: Sequence[DeclaredArm], asked: str) -> str:
    """The arm with all the words of `primary='attention=se ratio=4'`; "" for none.

    Raises InputError unless one arm has them.
    """
    if asked == "none":
        return ""
    words = set(asked.split())
    controls = {one.arm for here in by_folder(arms).values() for one in planned_arms(here)}
    others = [arm for arm in arms if arm.name in controls]
    found = [arm for arm in others if words <= set(arm.settings)]
    if len(found) == 1:
        return found[0].name
    each = "; ".join(" ".join(own_settings(arm.settings)) for arm in found or others or arms)
    which = "several arms have" if found else "no arm with a control has"
    raise InputError(
        f"primary={asked!r}: {which} these settings, write those of one of them: {each}"
    )


def declare(
    folder: Path,
    arms: list[PlannedArm],
    primary: str,
    seeds: Sequence[int],
    table: Table,
    names: Mapping[str, str],
) -> Declaration | None:
    """The plan of these arms, or the extension of theirs; None where no seed is new.

    `names` maps all names of the arms to those in `arms`: a plan may have been written where it
    was not known what `auto` is, or where it was.
    """
    first = first_plan(arms, primary, seeds, table)
    for chain in chains_in(folder):
        last = chain.last
        if first.extends(last, names):
            fresh = [seed for seed in seeds if seed not in last.seeds]
            return extension(last, fresh, table) if fresh else None
    return first


def first_plan(
    arms: list[PlannedArm], primary: str, seeds: Sequence[int], table: Table
) -> Declaration:
    """A plan that extends none: it spends all of the error but the part that is kept."""
    looks = looks_of(0, len(seeds), ERROR * (1 - table.reserve), table)
    kept = ERROR * table.reserve if looks else ERROR
    return Declaration(arms, primary, list(seeds), looks, rounded(kept), table.margin, "")


def extension(parent: Declaration, fresh: list[int], table: Table) -> Declaration:
    """The parent with more seeds: it spends half of what the parent kept."""
    seeds = [*parent.seeds, *fresh]
    if table.seeds == "auto" and seeds != list(range(len(seeds))):
        raise InputError(
            f"seeds=auto counts from 0, and the plan {parent.name} of these arms begins with the "
            f"seeds {listed(list(map(str, parent.seeds)))}: name the seeds"
        )
    looks = looks_of(len(parent.seeds), len(seeds), parent.kept / 2, table)
    kept = parent.kept / 2 if looks else parent.kept
    return Declaration(
        parent.arms, parent.primary, seeds, looks, rounded(kept), parent.margin, parent.name
    )


def looks_of(known: int, num_seeds: int, error: float, table: Table) -> list[Look]:
    """One look at the last seed; with seeds=auto those of a growing study, behind `known` seeds."""
    at = [num_seeds] if table.seeds != "auto" else [look for look in LOOKS if look <= num_seeds]
    at = [look for look in at if max(known, FEWEST_SEEDS - 1) < look]
    return [Look(seeds, rounded(e)) for seeds, e in errors_of_looks(at, error).items()]


def rounded(error: float) -> float:
    """Ten digits: a hash should not depend on how a processor rounds."""
    return round(error, 10)


def in_words(declaration: Declaration) -> str:
    """The plan, for the log."""
    looks = ", ".join(f"{look.seeds} seeds (error {look.error:g})" for look in declaration.looks)
    tested = f"tested at {looks}" if looks else f"no verdict below {FEWEST_SEEDS} seeds"
    kept = f", {declaration.kept:g} kept for more seeds" if declaration.kept else ""
    return f"{counted(len(declaration.arms), 'arm')}, {tested}{kept}"
