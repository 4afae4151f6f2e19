"""Each arm of a comparison as the event file of one TensorBoard run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from math import inf

from tensorboard.compat.proto.summary_pb2 import Summary

from senet_train.compare.collect import Run
from senet_train.compare.comparison import Arm, Block, Comparison
from senet_train.compare.render.cells import arm_names, interval
from senet_train.compare.render.sheets import VERDICT_NAMES
from senet_train.compare.tensorboard.curves import curves_of, tags_of
from senet_train.compare.tensorboard.protos import (
    Cell,
    event_file,
    experiment,
    margin_charts,
    row,
    row_end,
    scalar,
)
from senet_train.runs.identity import LONGEST_LABEL
from senet_train.runs.metrics import Score
from senet_train.system.file_names import possible

# Tag -> name of the column, in points. TensorBoard 2.21 shows five columns at first, so the
# interval of the mean is one cell of text.
DIFFERENCES = {
    "verdict/difference": "points to the control",
    "verdict/difference_low": "points, 95 % from",
    "verdict/difference_high": "points, 95 % to",
}
PARTS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class ArmRun:
    """An arm, the folder of its TensorBoard run, and its cells in the HPARAMS tab."""

    arm: Arm
    runs: list[Run]
    folder: str  # `se_resnet20-r4`, below a block's folder where there are several blocks
    cells: dict[str, Cell]


def event_files(comparison: Comparison, runs: Sequence[Run]) -> dict[str, bytes]:
    """Folder of each arm -> the content of its event file.

    The first also holds the layouts of the tabs, which one run has for all. Raises InputError for a
    metrics.csv that is missing or damaged.
    """
    arms = list(arm_runs(comparison, runs))
    columns = {key: [arm.cells[key] for arm in arms] for key in arms[0].cells}
    scores = list(dict.fromkeys(block.score for block in comparison.blocks))
    titles = {tag: title for score in reversed(scores) for tag, title in charts_of(score).items()}
    charts = {title: (tag, *band_of(tag)) for tag, title in titles.items()}
    means = {f"verdict/test_{score.key}": f"test {score.title} %" for score in scores}
    layouts = [
        experiment(columns, means | DIFFERENCES),
        margin_charts("mean over seeds, band of one standard deviation", charts),
    ]
    return {arm.folder: content_of(arm, layouts if arm is arms[0] else []) for arm in arms}


def charts_of(score: Score) -> dict[str, str]:
    """Tag -> title of its chart, the last first: TensorBoard 2.21 shows them from the end."""
    names = {score.key: score.title, "loss": "loss"}
    tags = reversed([*tags_of(score).values()])
    return {
        tag: f"{PARTS[part]} {names[key]}" for tag in tags for part, _, key in [tag.partition("/")]
    }


def arm_runs(comparison: Comparison, runs: Sequence[Run]) -> Iterator[ArmRun]:
    """Every arm of every block, controls first."""
    made = {(run.record.arm, run.record.seed): run for run in runs}
    several = len(comparison.blocks) > 1
    for number, block in enumerate(comparison.blocks, start=1):
        title = f"{number} {block.title}"
        for arm, folder in zip(block.arms, folders_of(block), strict=True):
            yield ArmRun(
                arm,
                [made[arm.folder, seed] for seed in arm.seeds],
                f"{folder_name(title)}/{folder}" if several else folder,
                {**({"block": title} if several else {}), **cells_of(arm)},
            )


def cells_of(arm: Arm) -> dict[str, Cell]:
    """An arm's cells in the HPARAMS tab, besides its metrics."""
    verdict = VERDICT_NAMES[arm.difference.verdict] if arm.difference else "control"
    return {
        "verdict": verdict,
        "n": len(arm.seeds),
        "test 95 % interval": interval(arm.test.low, arm.test.high),
        # The tab shows five digits.
        **({"thousand parameters": arm.cost.parameters / 1000} if arm.cost else {}),
    }


def folders_of(block: Block) -> list[str]:
    """A folder with a readable name for each arm; no two are the same."""
    found: list[str] = []
    for name, arm in zip(arm_names(block), block.arms, strict=True):
        whole = folder_name(arm.folder)
        tries = chain([folder_name(name), whole], (f"{whole} {number}" for number in count(2)))
        found.append(next(folder for folder in tries if folder not in found))
    return found


def folder_name(text: str) -> str:
    """The text as the name of one folder that is not hidden, valid on any file system."""
    plain = re.sub(r"[^\w.+=, -]", "_", re.sub(r"[()]", "", text), flags=re.ASCII)
    return possible(plain[:LONGEST_LABEL].strip(" .") or "arm")


def content_of(arm: ArmRun, layouts: Sequence[Summary]) -> bytes:
    """An arm's event file, dated by the end of its last run."""
    seconds = max(run.finished_at() for run in arm.runs)
    start = [*layouts, row(arm.folder, arm.cells, seconds)]
    steps = [(0, summary) for summary in start]
    steps += curve_points(arm.runs)
    score = arm.runs[0].record.metrics.score
    steps += [(0, scalar(tag, value)) for tag, value in metrics_of(arm.arm, score).items()]
    return event_file([*steps, (0, row_end(seconds))], seconds)


def curve_points(runs: Sequence[Run]) -> Iterator[tuple[int, Summary]]:
    """(epoch, summary) of each curve and its band, from epoch 0 as in the runs' own curves."""
    for tag, curve in curves_of(runs).items():
        low, high = band_of(tag)
        for epoch, (mean, sd) in enumerate(zip(curve.mean, curve.sd, strict=True)):
            yield epoch, scalar(tag, mean)
            yield epoch, scalar(low, max(mean - sd, 0.0))
            yield epoch, scalar(high, min(mean + sd, highest_of(tag)))


def highest_of(tag: str) -> float:
    """Where a band ends above: at 1 for a score, nowhere for a loss. Neither is below 0."""
    return inf if tag.endswith("/loss") else 1.0


def band_of(tag: str) -> tuple[str, str]:
    """The tags of the lower and upper end of a curve's band."""
    return f"band/{tag}/mean-sd", f"band/{tag}/mean+sd"


def metrics_of(arm: Arm, score: Score) -> Mapping[str, float]:
    """Tag -> an arm's mean and differences; those that it does not have are left out."""
    found = arm.difference
    values = {
        f"verdict/test_{score.key}": arm.test.mean,
        "verdict/difference": found.difference if found else None,
        "verdict/difference_low": found.low if found else None,
        "verdict/difference_high": found.high if found else None,
    }
    return {tag: value for tag, value in values.items() if value is not None}
