"""Why there is no baseline, in words: an unfinished run is it, or its settings are others."""

from collections.abc import Sequence
from pathlib import Path

from senet_train.compare import CONTROL
from senet_train.compare.blocks import RunsOfBlock, differing_settings
from senet_train.compare.comparison import LeftOut
from senet_train.compare.next_runs import command_with
from senet_train.errors import InputError
from senet_train.system.foreign_files import TREE, read_json


def no_baseline(baseline: str, blocks: Sequence[RunsOfBlock], left_out: Sequence[LeftOut]) -> str:
    """The line of the error where no run that has finished is the baseline."""
    unfinished = [run for run in left_out if is_baseline(run.path, baseline)]
    if unfinished:
        first, *rest = unfinished
        more = f"; {len(rest)} more of its runs have not finished" if rest else ""
        return f"no run of the baseline {baseline} has finished: {in_words(first)}{more}"
    labels = sorted({arm.folder for block in blocks for arm in block.arms})
    if not labels:
        runs = "; ".join(in_words(run) for run in left_out[:3])
        more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        return f"no run has finished: {runs}{more}"
    trained = next(iter(blocks[0].arms[0].runs.values())).record
    how = f" ({command_with([baseline], trained)})" if baseline == CONTROL else ""
    return (
        f"no run is the baseline {baseline}: train it{how}, or choose --baseline among "
        f"{', '.join(labels)}"
    )


def in_words(run: LeftOut) -> str:
    """`resnet20 seed 0 is interrupted: ...`, from the folder of a run."""
    seed = run.path.name.removeprefix("seed")
    verb = "" if run.reason.startswith("its ") else "is "
    return f"{label_of(run.path)} seed {seed} {verb}{run.reason}"


def label_of(run: Path) -> str:
    """`resnet20`, of the run in `resnet20-d05a21b4/seed0`."""
    return run.parent.name.rpartition("-")[0] or run.parent.name


def is_baseline(run: Path, baseline: str) -> bool:
    """Whether `baseline` names the arm of the run in this folder, which has no record."""
    if not baseline.startswith("attention="):
        return baseline in (label_of(run), run.parent.name)
    return attention_of(run) == baseline.removeprefix("attention=")


def attention_of(run: Path) -> str:
    """The attention that its arm's identity.json tells; "" where that cannot be read."""
    try:
        return str(read_json(run.parent / "identity.json", TREE)["attention"]["name"])
    except (FileNotFoundError, InputError, KeyError, TypeError):
        return ""


def nearest_control(block: RunsOfBlock, judged: Sequence[RunsOfBlock]) -> str:
    """Why a block without a control is left out: in what it differs from the nearest that has one.

    `differs in optim.lr (0.1, control 0.05)`; of other images no setting is worth a word.
    """
    if not judged:
        return "no control in its block"
    own = set(block.common.items())
    nearest = min(judged, key=lambda other: len(own ^ set(other.common.items())))
    if block.common.get("data.fingerprint") != nearest.common.get("data.fingerprint"):
        return (
            f"trained on other images ({block.common['data.name']}), of which there is no control"
        )
    return f"differs in {differing_settings(block.common, nearest.common, title='control ')}"
