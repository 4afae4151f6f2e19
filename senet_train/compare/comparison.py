"""The result of a comparison: the plain data from which tables, pictures and pages are made.

Scores are percent; differences are points (percent less percent).
"""

from dataclasses import dataclass, field
from pathlib import Path

from senet_train.compare.statistics.contrast import ArmMean
from senet_train.compare.statistics.difference import Difference
from senet_train.runs.metrics import Score


@dataclass(frozen=True)
class Spread:
    """A measured cost over runs: the median, and the lower and upper quartile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class ArmCost:
    """What an arm costs. Counts are exact and for one image; the rest was measured."""

    parameters: int
    attention_parameters: int
    multiply_adds: int
    attention_multiply_adds: int
    images_per_second: Spread
    inference_ms: dict[str, Spread]  # by batch size
    shared_machine: bool  # a run shared the machine with others: these speeds may be too low


@dataclass(frozen=True)
class StageGates:
    """What senet-inspect measured of one stage's gates in `num_runs` runs: means over its layers.

    Fractions are in 0..1. `between` is nan where nothing varies. `held` is the points of top-1 lost
    with the stage's gates held at their means, nan where that was not measured.
    """

    stage: int
    num_runs: int
    mean: float
    sd_over_images: float
    constant: float
    between: float
    held: float


@dataclass(frozen=True)
class Arm:
    """One arm of a block: every seed of one network and recipe.

    `label` names attention and placement; `folder`, that of its runs, tells it from all others of
    its block. `settings` are those of the recipe that differ from the control's
    (`trainer.max_epochs=12`, a declared factor), mostly "". `difference` and `new_images` (95 %
    interval over resampled images and seeds) are None for the control. `curves` holds each seed's
    validation score after every epoch. Of an arm that is rows of a table, `folder` is its name, and
    what such a table has not (`val`, `val_last`, `cost`) is None.
    """

    label: str
    folder: str
    settings: str
    seeds: list[int]
    missing_seeds: list[int]
    test: ArmMean
    val: ArmMean | None
    val_last: ArmMean | None
    difference: Difference | None
    new_images: tuple[float, float] | None
    cost: ArmCost | None
    curves: dict[int, list[float]]
    paper: str  # the paper's own figure and where it stands, "" if it has none
    excitations: list[StageGates] = field(default_factory=list)  # of runs that were inspected


@dataclass(frozen=True)
class DeclaredPlan:
    """A plan that counts the runs of a comparison: its name, when it was declared, its hash."""

    name: str
    declared: str  # the time, as ISO 8601
    sha256: str


@dataclass(frozen=True)
class Basis:
    """What gives the verdicts on some arms of a block: a plan, or the looks without one.

    `arms` are their folders. `family` is how many arms share the error, `looks` how much of it is
    spent at how many seeds, `order` says which seeds come first. `plans` are a plan and its
    extensions, [] without one; `primary` is the arm with half of the error, "" without one, and
    `kept` what is left for an extension. `declared` is the number of declared seeds.
    """

    arms: list[str]
    family: int
    looks: dict[int, float]
    order: str
    plans: list[DeclaredPlan] = field(default_factory=list)
    primary: str = ""
    kept: float = 0.0
    declared: int = 0


@dataclass(frozen=True)
class Compute:
    """What the runs of a block took on one kind of machine: wall-clock seconds, and memory."""

    device: str
    cpu: str
    threads: int
    num_runs: int
    shortest: float
    longest: float
    seconds: float  # of all runs
    peak_memory_bytes: int  # the highest of all runs
    shared_machine: bool  # a run shared the machine with others


@dataclass(frozen=True)
class Provenance:
    """How the runs of a block were made, as their records have it.

    `facts` are key as in conf/ -> every value, without attention and placement; `images` counts
    the images of each part of the data, a text for each split; `commits` are those of git.
    """

    facts: dict[str, list[str]]
    images: list[str]
    commits: list[str]
    compute: list[Compute]


@dataclass(frozen=True)
class Block:
    """Runs equal in everything but attention, placement and the declared factor.

    `common` says what all of them share (data, network, recipe, machine); `varied` what they do not
    share besides attention, as key -> value -> folders of the arms with it; `differ_in` names the
    keys in which arms differ; `notes` are warnings, one line each.
    """

    title: str
    score: Score  # what `test`, `val` and all differences are of
    common: dict[str, str]
    differ_in: list[str]
    control: str  # the control's folder
    arms: list[Arm]  # the control first
    notes: list[str]
    judged_by: list[Basis] = field(default_factory=list)
    provenance: Provenance | None = None  # None of a table, which has no records
    varied: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    epoch_by: str = ""  # the score that chose the best epochs, where that is not `score`
    test_images: int = 0  # of every run; 0 where that is not known

    @property
    def costs(self) -> list[ArmCost]:
        """The cost of every arm, in their order; empty where that is not known of all."""
        known = [arm.cost for arm in self.arms if arm.cost]
        return known if len(known) == len(self.arms) else []


@dataclass(frozen=True)
class LeftOut:
    """A run that is not compared, and why: unfinished, diverged, failed."""

    path: Path
    reason: str
    state: str = ""  # as its status.json has it


@dataclass(frozen=True)
class Comparison:
    """Everything `senet-compare` says."""

    blocks: list[Block]
    left_out: list[LeftOut]
    margin: float
    allowed: list[str]  # keys in which the user allowed runs to differ
    caveats: list[str] = field(default_factory=list)  # what a reader must know before any table
