"""Which runs may be compared: blocks equal in all but attention, placement and declared factors.

A key is dotted as in conf/ (`optim.lr`); a run's facts are its identity and its environment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from senet_train.compare.collect import Run
from senet_train.errors import InputError
from senet_train.runs.identity import LOCAL_DATA_KEYS, TRAINER_KEYS, drop_later_optim
from senet_train.runs.metrics import Score

Facts = dict[str, str]
Recipe = tuple[tuple[str, str], ...]
AXES = ("attention.", "placement.")  # what a comparison is about


@dataclass(frozen=True)
class RunsOfArm:
    """All seeds of one arm, by seed, and the facts of each run."""

    folder: str
    runs: dict[int, Run]
    every_facts: list[Facts]

    @property
    def facts(self) -> Facts:
        """Those of the first run: all have them, unless the user allowed a difference."""
        return self.every_facts[0]

    @property
    def label(self) -> str:
        """The readable part of the folder's name."""
        return next(iter(self.runs.values())).record.label


@dataclass(frozen=True)
class RunsOfBlock:
    """Arms that may be compared with each other."""

    common: Facts
    arms: list[RunsOfArm]


class UnfairError(InputError):
    """A comparison was asked for that would compare more than attention."""

    exit_code = 3


def facts_of(run: Run) -> Facts:
    """Everything that makes a run's numbers what they are, but its seed. Raises InputError."""
    try:
        return dict(flatten(facts_tree(run)))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{run.path / 'result.json'} has no whole configuration ({error}): it was made by "
            "another version or is damaged"
        ) from error


def facts_tree(run: Run) -> dict[str, Any]:
    """The facts, nested as in conf/."""
    record, config = run.record, run.record.config
    data = {key: value for key, value in config["data"].items() if key not in LOCAL_DATA_KEYS}
    plain = config["attention"]["name"] == "none"
    return {
        "data": {**data, "fingerprint": record.data_fingerprint},
        "model": config["model"],
        "attention": config["attention"],
        "placement": {} if plain else config["placement"],
        "optim": drop_later_optim(config["optim"]),
        "trainer": {key: config["trainer"][key] for key in TRAINER_KEYS},
        "task": config.get("task", "classification"),
        "code": record.environment.code,
        "versions": record.environment.versions,
        "kernel": record.environment.kernel,
    }


def flatten(tree: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, str]]:
    """Dotted keys and their values as text."""
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            yield from flatten(value, name)
        else:
            yield name, str(value)


def blocks_of(runs: Sequence[Run], allowed: Sequence[str]) -> list[RunsOfBlock]:
    """The blocks, in the order of their first runs. Raises InputError for an unknown key.

    A run that declares a factor may differ in it from the others that declare it, and from one
    group of ordinary runs: its own recipe's, or the only one there is.
    """
    facts = [facts_of(run) for run in runs]
    refuse_unknown(allowed, facts)
    homes = home_recipes(runs, facts, allowed)
    blocks: dict[Recipe, dict[str, RunsOfArm]] = {}
    for run, own in zip(runs, facts, strict=True):
        recipe = recipe_of(own, [*allowed, *run.record.factor])
        block = recipe if run.record.factor else homes.get(recipe, recipe)
        arms = blocks.setdefault(block, {})
        arm = arms.setdefault(run.record.arm, RunsOfArm(run.record.arm, {}, []))
        arm.runs[run.record.seed] = run
        arm.every_facts.append(own)
    return [RunsOfBlock(dict(key), list(arms.values())) for key, arms in blocks.items()]


def home_recipes(
    runs: Sequence[Run], facts: Sequence[Facts], allowed: Sequence[str]
) -> dict[Recipe, Recipe]:
    """Ordinary recipes that join a block with a declared factor -> that block's recipe."""
    ordinary = {
        recipe_of(own, allowed): own
        for run, own in zip(runs, facts, strict=True)
        if not run.record.factor
    }
    homes = {}
    for run, own in zip(runs, facts, strict=True):
        if not run.record.factor:
            continue
        free = [*allowed, *run.record.factor]
        block = recipe_of(own, free)
        near = [recipe for recipe, other in ordinary.items() if recipe_of(other, free) == block]
        exact = recipe_of(own, allowed)
        if exact in near:
            homes[exact] = block
        elif len(near) == 1:
            homes.setdefault(near[0], block)
    return homes


def recipe_of(facts: Facts, free: Sequence[str]) -> Recipe:
    """What runs must agree in, as a key."""
    return tuple(sorted(item for item in facts.items() if is_recipe(item[0], free)))


def is_recipe(key: str, free: Iterable[str]) -> bool:
    """Whether runs must agree on a key: not on attention, placement and what is set free.

    On the task always: no mIoU is more or less than an mAP.
    """
    return key == "task" or (
        not key.startswith(AXES)
        and not any(key == word or key.startswith(f"{word}.") for word in free)
    )


def refuse_unknown(allowed: Sequence[str], facts: Sequence[Facts]) -> None:
    """Raises InputError for `--allow` of a key that no run has."""
    known = {key for own in facts for key in own}
    for word in allowed:
        if word == "task":
            raise InputError("--allow task: scores of two tasks are no one scale, leave it out")
        if not any(key == word or key.startswith(f"{word}.") for key in known):
            raise InputError(f"--allow {word}: no run has such a key, write one as in optim.lr")


def difference_of(first: Facts, second: Facts) -> str:
    """`optim.lr (0.05, 0.1)`: every key in which two blocks differ."""
    keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return "; ".join(f"{key} ({first.get(key)}, {second.get(key)})" for key in keys)


def control_of(block: RunsOfBlock, baseline: str) -> RunsOfArm | None:
    """The arm that `baseline` names: a label, a folder, or `attention=none`.

    With a declared factor several may fit: the one whose factor most arms share is the control.
    Raises InputError if that leaves a choice.
    """
    fitting = [arm for arm in block.arms if fits(arm, baseline)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    shared = {arm.folder: num_sharing(arm, block) for arm in fitting}
    most = [arm for arm in fitting if shared[arm.folder] == max(shared.values())]
    if len(most) > 1:
        names = ", ".join(arm.folder for arm in most)
        raise InputError(f"--baseline {baseline} may be {names}: name one of them")
    return most[0]


def fits(arm: RunsOfArm, baseline: str) -> bool:
    """Whether a baseline's name means this arm."""
    if baseline.startswith("attention="):
        return arm.facts["attention.name"] == baseline.removeprefix("attention=")
    return baseline in (arm.label, arm.folder)


def num_sharing(arm: RunsOfArm, block: RunsOfBlock) -> int:
    """How many arms of the block differ from this one in attention and placement alone."""
    own = {item for item in arm.facts.items() if not item[0].startswith(AXES)}
    return sum(own <= set(other.facts.items()) for other in block.arms)


def score_of(arm: RunsOfArm) -> Score:
    """By what an arm is judged, and so are all of its block: they are of one task."""
    return next(iter(arm.runs.values())).record.metrics.score
