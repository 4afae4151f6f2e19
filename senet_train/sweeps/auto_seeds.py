"""`seeds=auto`: seeds are added from one planned look to the next, where a verdict is open.

The decision at a look depends on the records of the first seeds alone, by the rule of
`senet-compare`: the same command finds the same runs and decides the same.
"""

import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from senet_train.compare import CONTROL, MARGIN
from senet_train.compare.assemble import assemble
from senet_train.compare.blocks import UnfairError
from senet_train.compare.collect import collect
from senet_train.compare.comparison import Arm, Block, Comparison
from senet_train.compare.judging import rule_of
from senet_train.compare.render.verdicts import left_open
from senet_train.compare.statistics.difference import Difference
from senet_train.compare.statistics.looks import FIRST_LOOK, LOOKS, Rule, unplanned
from senet_train.compare.statistics.next_step import Step, next_step
from senet_train.errors import InputError, counted
from senet_train.runs.study_plan import chains_in
from senet_train.sweeps.controls import controls_of
from senet_train.system.console import say
from senet_train.training.plan import Plan

log = logging.getLogger("senet_train")


@dataclass
class GrowingStudy:
    """A table with seeds=auto; arms are named as their plans declare them.

    `controls` maps every arm to its control. `open_arms` are those whose verdict is open: they and
    their controls train up to `look` seeds.
    """

    plans: dict[str, Plan]
    controls: dict[str, str]
    baseline: str
    max_seeds: int
    open_arms: list[str]
    look: int = FIRST_LOOK
    last_look: int = 0

    def judge(self) -> set[str]:
        """Judge the look, log it in one line, set the next look; the arms that train up to it.

        Raises InputError, UnfairError if the runs cannot be compared.
        """
        missing = {
            arm: self.missing(arm) or self.missing(self.controls[arm]) for arm in self.open_arms
        }
        messages = [f"{arm} stays unsettled without {run}" for arm, run in missing.items() if run]
        complete = [arm for arm, run in missing.items() if not run]
        going_on, compared = [], set()
        for name, arm, step in self.steps(complete):
            compared.add(name)
            if step.state == "open" or (
                step.state == "hopeless" and self.next_look_is_trained(name)
            ):
                going_on.append(name)
            else:
                messages.append(f"{arm.folder} {ending(arm, step, self.max_seeds)}")
        alone = [arm for arm in complete if arm not in compared]
        messages += [f"{arm} differs from its control in more than attention" for arm in alone]
        self.last_look, self.open_arms = self.look, going_on
        self.look = next_look(self.last_look)
        messages.append(
            f"to {self.look} seeds: {', '.join(going_on)}" if going_on else "nothing goes on"
        )
        log.info("look at %d seeds: %s", self.last_look, "; ".join(messages))
        return {*going_on, *(self.controls[arm] for arm in going_on)}

    def steps(self, arms: Sequence[str]) -> Iterator[tuple[str, Arm, Step]]:
        """The next step of these arms, whose runs up to the look have all finished."""
        names = {self.plans[name].identity.arm: name for name in arms}
        for block in self.compared(self.look).blocks if arms else []:
            for arm in block.arms:
                if arm.folder in names and arm.difference:
                    self.refuse_mixed(arm.difference)
                    rule, margin = self.rule_for(names[arm.folder], arm.difference, block)
                    yield names[arm.folder], arm, next_step(arm.difference, rule, margin)

    def rule_for(self, name: str, found: Difference, block: Block) -> tuple[Rule, float]:
        """What judges an arm, its plan or the looks without one, up to `max_seeds`; the margin."""
        rule, margin = unplanned([one.folder for one in block.arms[1:]]), MARGIN
        arm, control = self.plans[name], self.plans[self.controls[name]]
        for chain in chains_in(arm.folder.path.parents[1]):
            if found.declared and any(
                one.arm in arm.names and one.control in control.names for one in chain.last.arms
            ):
                rule, margin = rule_of(chain, self.folders()), chain.last.margin
        looks = {look: error for look, error in rule.looks.items() if look <= self.max_seeds}
        return Rule(looks, rule.weights), margin

    def folders(self) -> dict[str, str]:
        """Every name of an arm -> the name of its folder."""
        return {name: plan.identity.arm for plan in self.plans.values() for name in plan.names}

    def refuse_mixed(self, found: Difference) -> None:
        """Raises UnfairError where runs of one arm were made by two versions of the program."""
        if found.num_seeds != self.look:
            raise UnfairError(
                f"the {self.look} seeds of {found.arm} and its control were not all made alike "
                f"(by one code, on one machine): {shlex.join(self.command())} tells what differs; "
                "overwrite=true makes them anew"
            )

    def command(self) -> list[str]:
        """The command that compares all these runs."""
        options = [] if self.baseline == CONTROL else ["--baseline", self.baseline_folder()]
        return ["senet-compare", *map(str, self.paths()), *options]

    def baseline_folder(self) -> str:
        """The baseline, named by its folder where it is an arm."""
        return self.folders().get(self.baseline, self.baseline)

    def compared(self, num_seeds: int) -> Comparison:
        """The finished runs of the first `num_seeds` seeds, compared as by `senet-compare`."""
        runs, left_out = collect(self.paths())
        runs = [run for run in runs if run.record.seed < num_seeds]
        return assemble(
            runs,
            left_out,
            baseline=self.baseline_folder(),
            allowed=[],
            margin=None,
            with_curves=False,
        )

    def paths(self) -> list[Path]:
        """The folders of the arms that have finished runs."""
        return [plan.folder.path.parent for arm, plan in self.plans.items() if self.seeds_of(arm)]

    def seeds_of(self, arm: str) -> set[int]:
        """The seeds up to the look whose runs have finished."""
        plan = self.plans[arm]
        return {seed for seed in range(self.look) if plan.at_seed(seed).folder.finished}

    def missing(self, arm: str) -> str:
        """`seed 1 of resnet20-...`: the runs up to the look that have not finished, "" for none."""
        seeds = sorted(set(range(self.look)) - self.seeds_of(arm))
        word = "seed" if len(seeds) == 1 else "seeds"
        return f"{word} {', '.join(map(str, seeds))} of {arm}" if seeds else ""

    def next_look_is_trained(self, arm: str) -> bool:
        """Whether all runs of the next look have finished, so that it costs nothing."""
        seeds = range(next_look(self.look))
        plans = (self.plans[name] for name in (arm, self.controls[arm]))
        again = self.plans[arm].config.overwrite
        finished = (plan.at_seed(seed).folder.finished for plan in plans for seed in seeds)
        return self.look < len(seeds) <= self.max_seeds and not again and all(finished)

    def forecast(self) -> str:
        """The line that a dry run adds: the looks after the first."""
        looks = [str(look) for look in LOOKS if self.look < look <= self.max_seeds]
        if not looks:
            return f"that is the only look up to max_seeds={self.max_seeds}"
        return f"the first look: arms whose verdict is then open go on to {', '.join(looks)} seeds"

    def print_verdicts(self) -> None:
        """Print the verdict of `senet-compare` on each arm, and the command for the report."""
        if not any(self.seeds_of(arm) & self.seeds_of(self.controls[arm]) for arm in self.controls):
            return
        say("verdicts:")
        for block in self.compared(sys.maxsize).blocks:
            for arm in block.arms:
                if found := arm.difference:
                    start = f"  {found.arm}, {counted(found.num_seeds, 'seed')}: "
                    say(f"{start}{found.words}{estimates(found)}{left_open(arm, block)}")
        say(f"all of it: {shlex.join(self.command())}")


def estimates(found: Difference) -> str:
    """The difference of an arm that was settled, and what is left without the luck of stopping."""
    if found.verdict not in ("better", "worse") or found.difference is None:
        return ""
    return f", {found.difference:+.2f} points (shrunken {found.shrunken or 0.0:+.2f})"


def next_look(num_seeds: int) -> int:
    """The first look above so many seeds; after the last, their number again."""
    return min((look for look in LOOKS if look > num_seeds), default=num_seeds)


def ending(arm: Arm, step: Step, max_seeds: int) -> str:
    """Why an arm gets no further seeds."""
    words = arm.difference.words if arm.difference else ""
    if step.state == "settled":
        return f"is {words}"
    return f"stays {words}" + (f" (max_seeds={max_seeds})" if max_seeds < max(LOOKS) else "")


def growing_study(plans: Sequence[Plan], max_seeds: int) -> GrowingStudy:
    """The table of these arms at its first look. Raises InputError if no verdict is possible."""
    looks = [look for look in LOOKS if look <= max_seeds]
    if not looks:
        raise InputError(
            f"max_seeds={max_seeds} reaches no look: the first is planned at {FIRST_LOOK} seeds, "
            f"choose max_seeds >= {FIRST_LOOK}"
        )
    folders = list(dict.fromkeys(plan.folder.output_dir for plan in plans))
    if len(folders) > 1:
        raise InputError(
            f"seeds=auto compares the runs of one output_dir: got {', '.join(map(str, folders))}"
        )
    by_arm = {plan.names[0]: plan for plan in plans}
    baseline = CONTROL
    if not any(plan.config.attention.name == "none" for plan in plans):
        baseline = next(iter(by_arm))
    controls = controls_of(by_arm, baseline)
    alone = [arm for arm in by_arm if arm not in controls and arm not in controls.values()]
    if alone:
        raise InputError(
            f"seeds=auto adds seeds where a verdict is open, and {', '.join(alone)} is compared "
            "with nothing: name two arms or more, one of them attention=none and equal in all "
            "else, or give seeds a number"
        )
    return GrowingStudy(by_arm, controls, baseline, max(looks), list(controls))
