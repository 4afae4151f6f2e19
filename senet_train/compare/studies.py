"""Which plan counts the runs of an arm and its control, and which of their seeds.

A run counts for the first plan that named it. A plan judges an arm against the control that it
declares, on its seeds in the order declared, from the first on, as far as both runs have finished.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.blocks import RunsOfArm
from senet_train.compare.collect import Run
from senet_train.compare.comparison import LeftOut
from senet_train.errors import InputError
from senet_train.runs.study_plan import PLANS, Chain, chains_in

LOST = ("diverged", "failed")  # states of runs that a mean of the others would hide


@dataclass(frozen=True)
class Contest:
    """An arm and its control, in the block with this number.

    `lost` and `lost_by_control` are the seeds of runs that diverged or failed, with their states.
    """

    block: int
    arm: RunsOfArm
    control: RunsOfArm
    lost: dict[int, str] = field(default_factory=dict)
    lost_by_control: dict[int, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, str]:
        """The number of the block, and the arm's folder."""
        return self.block, self.arm.folder

    @property
    def shared(self) -> list[int]:
        """The seeds of both, in the order in which the later of the two runs was started.

        In the order of their numbers, a low seed that is trained last would change what an earlier
        look has shown.
        """
        both = self.arm.runs.keys() & self.control.runs.keys()
        return sorted(both, key=lambda seed: (max(map(started_at, self.runs_at(seed))), seed))

    def runs_at(self, seed: int) -> list[Run]:
        """The finished runs of both at a seed: two, one or none."""
        return [one.runs[seed] for one in (self.arm, self.control) if seed in one.runs]

    def differences(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """The arm less the control at these seeds, in points (num_seeds,)."""
        return np.array([score(self.arm.runs[s]) - score(self.control.runs[s]) for s in seeds])


@dataclass(frozen=True)
class Counted:
    """The seeds of a contest that looks count, and the chain of plans that declares them.

    `declared` is the arm's name in the plans.
    """

    contest: Contest
    chain: Chain
    seeds: list[int]
    declared: str


def score(run: Run) -> float:
    """A run's score in percent."""
    return 100 * run.record.metrics.test_score


def started_at(run: Run) -> float:
    """When it was started, in seconds since 1970. Raises InputError if that is damaged."""
    try:
        return datetime.fromisoformat(run.record.started).timestamp()
    except ValueError:
        raise InputError(
            f"{run.path / 'result.json'} has started={run.record.started!r}, which is no time: it "
            "is damaged, overwrite=true runs it anew"
        ) from None


def contests_of(
    number: int, control: RunsOfArm, others: Sequence[RunsOfArm], left_out: Sequence[LeftOut]
) -> list[Contest]:
    """Every other arm of a block with its control."""
    lost = lost_runs([control, *others], left_out)
    return [Contest(number, arm, control, lost[arm.folder], lost[control.folder]) for arm in others]


def lost_runs(arms: Sequence[RunsOfArm], left_out: Sequence[LeftOut]) -> dict[str, dict[int, str]]:
    """Arm -> the seeds of its runs that diverged or failed -> that state."""
    folders = {run.path.parent: arm.folder for arm in arms for run in arm.runs.values()}
    lost: dict[str, dict[int, str]] = {arm.folder: {} for arm in arms}
    for run in left_out:
        seed = run.path.name.removeprefix("seed")
        if run.state in LOST and run.path.parent in folders and seed.isdecimal():
            lost[folders[run.path.parent]][int(seed)] = run.state
    return lost


def count_seeds(contests: Sequence[Contest]) -> tuple[list[Counted], dict[int, list[str]]]:
    """The contests that a plan judges; and by block, notes on runs that their plan does not count.

    Raises InputError for a plan that was changed after a run was made.
    """
    folders = {run.path.parents[1] for one in contests for run in one.arm.runs.values()}
    chains = {folder: chains_in(folder) for folder in sorted(folders)}
    found: list[Counted] = []
    notes: dict[int, list[str]] = {}
    for contest in contests:
        counted, reasons = count_seeds_of(contest, chains)
        found += counted[:1]
        if not counted:
            before = notes.setdefault(contest.block, [])
            before += [reason for reason in reasons if reason not in before]
    return found, notes


def count_seeds_of(
    contest: Contest, chains: Mapping[Path, Sequence[Chain]]
) -> tuple[list[Counted], list[str]]:
    """The plans that count the runs of a contest, and why others that name it do not."""
    counted, reasons = [], []
    for folder in dict.fromkeys(run.path.parents[1] for run in contest.arm.runs.values()):
        for chain in chains[folder]:
            if declared := declared_name(chain, contest):
                seeds, reason = seeds_counted(contest, chain, folder)
                counted += [] if reason else [Counted(contest, chain, seeds, declared)]
                reasons += [reason] if reason else []
    return counted, reasons


def declared_name(chain: Chain, contest: Contest) -> str:
    """The name by which a plan declares this arm, with this control; "" if it does not."""
    arms, controls = names_of(contest.arm), names_of(contest.control)
    found = (one.arm for one in chain.last.arms if one.arm in arms and one.control in controls)
    return next(found, "")


def names_of(arm: RunsOfArm) -> set[str]:
    """The names by which plans may know an arm: its folder's, and what its runs say."""
    said = (run.record.plan.arm for run in arm.runs.values())
    return {arm.folder, *filter(None, said)}


def seeds_counted(contest: Contest, chain: Chain, folder: Path) -> tuple[list[int], str]:
    """The declared seeds, in order, up to the first that is not finished; and a reason against.

    The reason is a run at one of them that this plan does not count, "" without one.
    """
    seeds: list[int] = []
    for seed in chain.last.seeds:
        runs = contest.runs_at(seed)
        strangers = [run for run in runs if not is_counted(run, chain, folder)]
        if strangers:
            return [], why_not_counted(strangers[0], chain)
        if len(runs) < 2:
            break
        seeds.append(seed)
    return seeds, ""


def is_counted(run: Run, chain: Chain, folder: Path) -> bool:
    """Whether the plan or one of its extensions counts a run. Raises InputError."""
    said = run.record.plan
    for plan in chain.plans:
        if said.name == plan.declaration.name:
            if said.sha256 != plan.reference.sha256:
                raise InputError(
                    f"{folder / PLANS / said.name}.json was changed after {run.path} was made: "
                    "restore the file, runs count for the plan as it was"
                )
            return True
    return False


def why_not_counted(run: Run, chain: Chain) -> str:
    """Why a run does not count for a plan."""
    name, declared = chain.plans[0].declaration.name, chain.plans[0].declared
    which = f"{run.record.label} seed {run.record.seed}"
    if run.record.plan.name:
        return (
            f"{which} counts for the plan {run.record.plan.name} and not for {name}, which named "
            "it later: arms that need it are judged without a plan"
        )
    return (
        f"{which} was not made under the plan {name} (declared {declared}), which does not count "
        "it: arms that need it are judged without a plan"
    )
