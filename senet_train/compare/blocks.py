"""Which runs may be compared: blocks of runs that differ only in attention, placement and factors.

A run's facts are its identity and its environment, keyed as in conf/ (`optim.lr`). Its recipe is
those facts in which compared runs must agree. A factor is a key that a run declares to vary.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from senet_train.compare.collect import Run
from senet_train.errors import InputError
from senet_train.runs.identity import data_of_recipe, drop_later_optim, identifying_trainer
from senet_train.runs.metrics import Score

Facts = dict[str, str]
Recipe = tuple[tuple[str, str], ...]
AXES = ("attention.", "placement.")  # beginnings of the keys that a comparison is about


@dataclass(frozen=True)
class RunsOfArm:
    """The runs of one arm by seed, and the facts of each run in the same order."""

    folder: str
    runs: dict[int, Run]
    every_facts: list[Facts]

    @property
    def facts(self) -> Facts:
        """The facts of the first run; the others differ only in what the user allowed."""
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
    """The runs to be compared differ in more than attention."""

    exit_code = 3


def facts_of(run: Run) -> Facts:
    """Everything that determines a run's numbers, except its seed. Raises InputError."""
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
    data = data_of_recipe(config["data"])
    if "augment" in data:
        data["augment"] = " + ".join(map(augmentation_words, data["augment"]))
    plain = config["attention"]["name"] == "none"
    return {
        "data": {**data, "fingerprint": record.data_fingerprint},
        "model": config["model"],
        "attention": config["attention"],
        "placement": {} if plain else config["placement"],
        "optim": drop_later_optim(config["optim"]),
        "trainer": identifying_trainer(config["trainer"]),
        "accelerator": config["trainer"].get("accelerator", NOT_SET),  # not part of the identity
        "task": config.get("task", "classification"),
        **judged_otherwise(run),
        "code": record.environment.code,
        "versions": record.environment.versions,
        "kernel": record.environment.kernel,
        **({"tf32": record.environment.tf32} if record.environment.tf32 else {}),  # of a GPU
    }


def augmentation_words(policy: Mapping[str, Any]) -> str:
    """`{name: randaugment, magnitude: 9}` -> `randaugment (magnitude 9)`."""
    options = ", ".join(f"{key} {value}" for key, value in policy.items() if key != "name")
    return f"{policy['name']} ({options})" if options else str(policy["name"])


def judged_otherwise(run: Run) -> dict[str, str]:
    """The score that the run is judged by, if it is not its task's own."""
    metrics = run.record.metrics
    return {} if metrics.score == metrics.own_score else {"score": metrics.score.title}


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

    Runs that declare the same factor are in one block, whatever its value. One recipe of runs
    that declare none joins them: the one that is also theirs, or the only one that fits.
    """
    facts = [facts_of(run) for run in runs]
    refuse_unknown(allowed, facts)
    joined = recipes_that_join(runs, facts, allowed)
    blocks: dict[Recipe, dict[str, RunsOfArm]] = {}
    for run, own in zip(runs, facts, strict=True):
        recipe = recipe_of(own, [*allowed, *run.record.factor])
        block = recipe if run.record.factor else joined.get(recipe, recipe)
        arms = blocks.setdefault(block, {})
        arm = arms.setdefault(run.record.arm, RunsOfArm(run.record.arm, {}, []))
        arm.runs[run.record.seed] = run
        arm.every_facts.append(own)
    return [RunsOfBlock(dict(key), list(arms.values())) for key, arms in blocks.items()]


def recipes_that_join(
    runs: Sequence[Run], facts: Sequence[Facts], allowed: Sequence[str]
) -> dict[Recipe, Recipe]:
    """Recipe of runs without a factor -> recipe of the block with a factor that they join."""
    ordinary = {
        recipe_of(own, allowed): own
        for run, own in zip(runs, facts, strict=True)
        if not run.record.factor
    }
    joined = {}
    for run, own in zip(runs, facts, strict=True):
        if not run.record.factor:
            continue
        free = [*allowed, *run.record.factor]
        block = recipe_of(own, free)
        fitting = [recipe for recipe, other in ordinary.items() if recipe_of(other, free) == block]
        exact = recipe_of(own, allowed)
        if exact in fitting:
            joined[exact] = block
        elif len(fitting) == 1:
            joined.setdefault(fitting[0], block)
    return joined


def recipe_of(facts: Facts, free: Sequence[str]) -> Recipe:
    """The facts in which runs must agree, as a key; `free` are keys in which they may differ."""
    return tuple(sorted(item for item in facts.items() if is_recipe(item[0], free)))


def is_recipe(key: str, free: Iterable[str]) -> bool:
    """Whether runs must agree on a key: on all but attention, placement and the keys in `free`.

    On task and score they always must: an mIoU cannot be compared with an mAP.
    """
    return key in ("task", "score") or (
        not key.startswith(AXES)
        and not any(key == word or key.startswith(f"{word}.") for word in free)
    )


def refuse_unknown(allowed: Sequence[str], facts: Sequence[Facts]) -> None:
    """Raises InputError for `--allow` of a key that no run has."""
    known = {key for own in facts for key in own}
    for word in allowed:
        if word in ("task", "score"):
            kinds = "tasks" if word == "task" else "kinds"
            way_out = " or choose one with --score" if word == "score" else ""
            raise InputError(
                f"--allow {word}: scores of two {kinds} are no one scale, leave it out{way_out}"
            )
        if not any(key == word or key.startswith(f"{word}.") for key in known):
            raise InputError(f"--allow {word}: no run has such a key, write one as in optim.lr")


NOT_SET = "not set"


def differing_settings(first: Facts, second: Facts, *, title: str = "") -> str:
    """`optim.lr (0.05, 0.1)`: every key in which two blocks differ; `title` names the second."""
    keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return "; ".join(
        f"{key} ({value_of(first, key)}, {title}{value_of(second, key)})" for key in keys
    )


def value_of(facts: Facts, key: str) -> str:
    """The value; of a hash its beginning."""
    value = facts.get(key, NOT_SET)
    return value[:12] if re.fullmatch("[0-9a-f]{40,}", value) else value


def control_of(block: RunsOfBlock, baseline: str) -> RunsOfArm | None:
    """The arm that `baseline` names: a label, a folder, or `attention=none`; None without one.

    With a declared factor it may name several arms: the control is the one with whose recipe most
    arms were trained. Raises InputError if several remain.
    """
    named = [arm for arm in block.arms if is_named(arm, baseline)]
    if len(named) < 2:
        return named[0] if named else None
    shared = {arm.folder: num_with_same_recipe(arm, block) for arm in named}
    most = [arm for arm in named if shared[arm.folder] == max(shared.values())]
    if len(most) > 1:
        names = ", ".join(arm.folder for arm in most)
        raise InputError(f"--baseline {baseline} may be {names}: name one of them")
    return most[0]


def is_named(arm: RunsOfArm, baseline: str) -> bool:
    """Whether `baseline` names this arm."""
    if baseline.startswith("attention="):
        return arm.facts["attention.name"] == baseline.removeprefix("attention=")
    return baseline in (arm.label, arm.folder)


def num_with_same_recipe(arm: RunsOfArm, block: RunsOfBlock) -> int:
    """How many arms of the block differ from this one in attention and placement alone."""
    own = {item for item in arm.facts.items() if not item[0].startswith(AXES)}
    return sum(own <= set(other.facts.items()) for other in block.arms)


def score_of(arm: RunsOfArm) -> Score:
    """The score by which an arm is judged; all arms of a block have the same task and score."""
    return next(iter(arm.runs.values())).record.metrics.score
