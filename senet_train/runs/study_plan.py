"""The plan of a study: what it is to show, written down before its first run starts.

`<output_dir>/<data>/plans/<name>.json`. The name is a hash of the declaration, which has neither
the time nor the code: the same command line finds its plan again. The sha256, of everything in the
file, stands in the record of every run that the plan counts. A plan is never changed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.errors import InputError
from senet_train.runs.metrics import EXACT
from senet_train.system.files import write_json
from senet_train.system.foreign_files import TREE, read_bytes, read_json
from senet_train.system.listing import entries_of

PLANS = "plans"  # the folder, beside those of the arms
REFERENCE_FILE = "plan.json"  # in a run's folder: the plan that counts it, from its start on
NAME_LENGTH = 8
ERROR = 0.05  # that a study may spend: how often one without any effect gets a verdict

Error = Annotated[float, Field(ge=0, le=ERROR)]


@dataclass(frozen=True, config=EXACT)
class PlannedArm:
    """An arm, by the name of its folder, and the arm that it is compared with."""

    arm: str
    control: str
    settings: list[str]


@dataclass(frozen=True, config=EXACT)
class Look:
    """At so many of the seeds the arms are tested, and this much of the error is spent."""

    seeds: Annotated[int, Field(ge=2)]
    error: Error


@dataclass(frozen=True, config=EXACT)
class Declaration:
    """What a study is to show: the part of a plan that names it.

    `seeds` are in the order in which looks count them. An extension has all seeds of its parent
    first, and looks at more than those. `kept` is what is left of the error for an extension.
    `primary` is the arm that gets half of the error, "" without one; `parent` the name of the plan
    that this one extends, "" of a first one.
    """

    arms: Annotated[list[PlannedArm], Field(min_length=1)]
    primary: str
    seeds: Annotated[list[int], Field(min_length=1)]
    looks: list[Look]
    kept: Error
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    parent: str

    @property
    def name(self) -> str:
        """The beginning of its hash."""
        return sha256_of(asdict(self))[:NAME_LENGTH]

    @property
    def runs_of(self) -> list[str]:
        """The folders of all arms, the controls as well."""
        return list(dict.fromkeys(name for one in self.arms for name in (one.control, one.arm)))

    def extends(self, parent: "Declaration", names: Mapping[str, str]) -> bool:
        """Whether it has the same arms and rules as the parent.

        `names` maps other names of its arms to those by which it declares them.
        """
        own, other = (
            (
                sorted(
                    (names.get(one.arm, one.arm), names.get(one.control, one.control))
                    for one in plan.arms
                ),
                names.get(plan.primary, plan.primary),
                plan.margin,
            )
            for plan in (self, parent)
        )
        return own == other


@dataclass(frozen=True, config=EXACT)
class PlanReference:
    """Which plan counts a run: its name and the sha256 of its file; both "" without a plan.

    `arm` is the name that its arm has while its precision is `auto`, "" where the user has chosen
    one. A plan that is written before it is known what `auto` is declares the arm by it.
    """

    name: str = ""
    sha256: str = ""
    arm: str = ""


@dataclass(frozen=True, config=EXACT)
class StudyPlan:
    """A declaration, when it was made, and by which code."""

    schema: Literal[1]
    declaration: Declaration
    declared: str  # the time, as ISO 8601
    code: str

    @property
    def reference(self) -> PlanReference:
        """Its name and its hash."""
        return PlanReference(self.declaration.name, sha256_of(asdict(self)))


def sha256_of(tree: Mapping[str, Any]) -> str:
    """The hash of a tree, however its file is laid out."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_plan(folder: Path, plan: StudyPlan) -> Path:
    """Write a plan to `folder/plans`, unless it is there."""
    path = folder / PLANS / f"{plan.declaration.name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(plan))
    return path


def read_plan(path: Path) -> StudyPlan:
    """Read a plan. Raises InputError for one that is not as it was written, FileNotFoundError."""
    try:
        plan = TypeAdapter(StudyPlan).validate_json(read_bytes(path, TREE))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path} is no plan ({where}: {first['msg']}): {CHANGED}") from None
    name = plan.declaration.name
    if path.stem != name:
        raise InputError(
            f"{path} was changed after it was written, its content has the name {name}: {CHANGED}"
        )
    return plan


CHANGED = "a plan is never changed, restore the file, or declare another plan by another command"


def plans_in(folder: Path) -> list[StudyPlan]:
    """The plans in `folder/plans`, the earliest first. Raises InputError for a changed one."""
    try:
        names = [entry.name for entry in entries_of(folder / PLANS)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    files = [name for name in sorted(names) if name.endswith(".json") and name[0] != "."]
    plans = [read_plan(folder / PLANS / name) for name in files]
    return sorted(plans, key=lambda plan: plan.declared)


def plan_that_counts(folder: Path, names: Sequence[str], seed: int) -> PlanReference:
    """The first plan in `folder/plans` that names this arm and seed. Raises InputError."""
    for plan in plans_in(folder):
        declaration = plan.declaration
        if seed in declaration.seeds and not set(names).isdisjoint(declaration.runs_of):
            return plan.reference
    return PlanReference()


def write_reference(run: Path, reference: PlanReference) -> None:
    """Keep in the folder of a run which plan counts it."""
    write_json(run / REFERENCE_FILE, asdict(reference))


def read_reference(run: Path) -> PlanReference:
    """Which plan counts the run; none where its folder does not say so. Raises InputError."""
    try:
        return TypeAdapter(PlanReference).validate_python(read_json(run / REFERENCE_FILE, TREE))
    except FileNotFoundError:
        return PlanReference()
    except ValidationError:
        raise InputError(
            f"{run / REFERENCE_FILE} names no plan: it is damaged, overwrite=true starts this run "
            "anew"
        ) from None


@dataclass(frozen=True)
class Chain:
    """A plan and its extensions, the first one first."""

    plans: list[StudyPlan] = field(default_factory=list)

    @property
    def last(self) -> Declaration:
        """The declaration with all seeds that were declared so far."""
        return self.plans[-1].declaration

    @property
    def looks(self) -> list[Look]:
        """The looks of all plans, in order."""
        return [look for plan in self.plans for look in plan.declaration.looks]


def chains_in(folder: Path) -> list[Chain]:
    """The plans in `folder/plans`, each with its extensions. Raises InputError."""
    plans = {plan.declaration.name: plan for plan in plans_in(folder)}
    for plan in plans.values():
        parent = plan.declaration.parent
        if parent and parent not in plans:
            raise InputError(
                f"{folder / PLANS} lacks {parent}.json, which {plan.declaration.name}.json "
                "extends: copy it there too"
            )
    first = [plan for plan in plans.values() if not plan.declaration.parent]
    return [Chain(list(extensions_of(plan, plans))) for plan in first]


def extensions_of(plan: StudyPlan, plans: Mapping[str, StudyPlan]) -> Iterator[StudyPlan]:
    """The plan, its extension, the extension of that, and so on."""
    name = ""
    following: StudyPlan | None = plan
    while following is not None:
        yield following
        name = following.declaration.name
        following = next((one for one in plans.values() if one.declaration.parent == name), None)
