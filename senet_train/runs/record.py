"""The record of a finished run, `result.json`: dataclasses that are written and read.

It is written last, by an atomic rename: a file that exists is complete. Schema 2 has `plan`, and
records of schema 1 are read as those of runs that no plan counts.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.errors import InputError
from senet_train.runs.metrics import EXACT, SCORES, AnyMetrics
from senet_train.runs.origin import Origin
from senet_train.runs.plausible import fault_of
from senet_train.runs.study_plan import PlanReference
from senet_train.system.files import write_json
from senet_train.system.foreign_files import TREE, read_bytes

SCHEMA: Literal[2] = 2


@dataclass(frozen=True, config=EXACT)
class Latency:
    """Milliseconds of one forward pass: the median, and the lower and upper quartile."""

    median: float
    quartiles: tuple[float, float]


@dataclass(frozen=True, config=EXACT)
class Cost:
    """The cost of the run. Counts are for one image of the test's size, as is `inference_ms`.

    Rates are of training after the warm-up, on images of `data.image_size`.
    """

    parameters: int
    attention_parameters: int
    multiply_adds: int
    attention_multiply_adds: int
    images_per_second: float
    images_per_second_quartiles: tuple[float, float]
    inference_ms: dict[str, Latency]  # by batch size
    peak_memory_bytes: int
    seconds: float
    concurrent_runs: int


@dataclass(frozen=True, config=EXACT)
class AttentionSlot:
    """An attention module: its name, stage, channels and bottleneck width (0 if it has none)."""

    name: str
    stage: int
    channels: int
    hidden: int


@dataclass(frozen=True, config=EXACT)
class Environment:
    """Where the run was made. `code` is the sha256 of the files that can change its numbers.

    What is of a GPU is empty on a CPU, and so is all from `accelerator` on in records that were
    made before 2026-12.
    """

    code: str
    versions: dict[str, str]
    device: str
    cpu: str
    threads: int
    precision: str
    kernel: str
    git: str
    accelerator: str = ""
    capability: str = ""  # of a GPU: 8.6
    tf32: str = ""  # of a GPU: off, where float32 is multiplied as float32
    cudnn_benchmark: bool = False  # whether cuDNN has chosen its algorithms by trying them
    cuda: str = ""  # its version, or ROCm's
    cudnn: str = ""
    driver: str = ""


@dataclass(frozen=True, config=EXACT)
class DataFacts:
    """What a run was made on, as it said it; empty in records that were made before 2026-12.

    `images` are counted by part; of classifiers, the classes with the fewest and the most training
    images, and the share of the latter in the test images: the top-1 of saying it of every image.
    """

    images: dict[str, int] = field(default_factory=dict)
    smallest_class: dict[str, int] = field(default_factory=dict)
    largest_class: dict[str, int] = field(default_factory=dict)
    largest_class_share: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, config=EXACT)
class Ended:
    """Why training ended, and after how many epochs; empty in records made before 2026-12.

    The rule is `max_epochs`, `patience` or `max_minutes` (a setting of the trainer).
    """

    epochs: int = 0
    rule: str = ""


@dataclass(frozen=True, config=EXACT)
class RunRecord:
    """Everything a comparison needs to know of a run."""

    schema: Literal[1, 2]
    label: str
    identity: str
    arm: str
    seed: int
    factor: list[str]  # keys that a preset varies on purpose, besides attention and placement
    overrides: list[str]
    config: dict[str, Any]
    data_fingerprint: str
    split_seed: int
    metrics: AnyMetrics
    cost: Cost
    attention: list[AttentionSlot]
    environment: Environment
    started: str
    finished: str
    data: DataFacts = field(default_factory=DataFacts)
    plan: PlanReference = field(default_factory=PlanReference)
    origin: Origin = field(default_factory=Origin)
    ended: Ended = field(default_factory=Ended)


def write_record(record: RunRecord, path: Path) -> None:
    """Write `result.json`."""
    write_json(path, asdict(record))


def read_record(path: Path) -> RunRecord:
    """Read `result.json`. Raises InputError if it is missing, damaged or of another schema."""
    try:
        record = TypeAdapter(RunRecord).validate_json(read_bytes(path, TREE))
    except ValidationError as error:
        first = error.errors()[0]
        keys = {score.key for score in SCORES}  # which of the metrics it was read as
        where = ".".join(str(part) for part in first["loc"] if part not in keys) or "the file"
        raise InputError(
            f"{path} is no result of schema {SCHEMA} ({where}: {first['msg']}): "
            "it was made by another version or is damaged, overwrite=true runs it anew"
        ) from None
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing: copy the run's folder again if it was copied, or run it anew with "
            "overwrite=true"
        ) from None
    if fault := fault_of(record, record.cost, record.metrics):
        raise InputError(
            f"{path} has {fault}, which no run can have: it is damaged, overwrite=true runs it anew"
        )
    return record


def median_and_quartiles(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median, and the lower and upper quartile; zeros if there are no values."""
    if len(values) < 2:
        only = values[0] if values else 0.0
        return only, (only, only)
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return median, (lower, upper)
