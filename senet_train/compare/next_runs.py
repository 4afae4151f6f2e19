"""Which runs are worth training next: those that would settle a verdict that is still open."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from senet_train.compare.collect import Run
from senet_train.compare.comparison import Arm, Block, Comparison
from senet_train.compare.statistics.looks import FIRST_LOOK, LOOKS, Rule, unplanned
from senet_train.config.typed_words import key_of
from senet_train.runs.record import RunRecord
from senet_train.system.console import say

NOT_REPEATED = ("seed", "seeds", "first_seed", "max_seeds", "arms")


def print_next_runs(comparison: Comparison, runs: Sequence[Run]) -> None:
    """Print one command for each arm that needs more seeds, the control's first."""
    lines = [line for block in comparison.blocks for line in next_runs(block, comparison, runs)]
    last = max(LOOKS)
    say("", "next:" if lines else f"next: nothing is open that up to {last} seeds would settle")
    for line in lines:
        say(f"  {line}")


def next_runs(block: Block, comparison: Comparison, runs: Sequence[Run]) -> list[str]:
    """The commands that train the seeds which would settle the arms whose verdict is open."""
    control, *others = block.arms
    rule = unplanned([arm.folder for arm in others])
    wanted = {arm.folder: seeds_wanted(arm, rule, comparison.margin) for arm in others}
    most = max(wanted.values(), default=0)
    needs = [(control, most), *((arm, wanted[arm.folder]) for arm in others)]
    return [
        command(arm, seeds, runs) for arm, num in needs if (seeds := seeds_missing(arm, num, block))
    ]


def seeds_wanted(arm: Arm, rule: Rule, margin: float) -> int:
    """The number of seeds that would settle this arm; 0 if it is settled or nothing would.

    Of an arm in a plan the declared ones: more are for its user to declare.
    """
    difference = arm.difference
    if difference is None or difference.verdict not in ("undecided", "silent"):
        return 0
    if difference.declared:
        return difference.declared
    if difference.difference is None or difference.residual_sd is None:
        return FIRST_LOOK
    if difference.verdict == "silent":
        return FIRST_LOOK
    size = max(margin, abs(difference.difference))
    more = rule.seeds_to_settle(arm.folder, size, difference.residual_sd, difference.num_seeds)
    return difference.num_seeds + more if more else 0


def seeds_missing(arm: Arm, num_seeds: int, block: Block) -> list[int]:
    """Seeds the arm lacks to have `num_seeds` in common with the others, the block's own first."""
    known = sorted({seed for other in block.arms for seed in other.seeds})
    fresh = [seed for seed in range(num_seeds + len(known)) if seed not in known]
    wanted = [*known, *fresh][:num_seeds]
    return [seed for seed in wanted if seed not in arm.seeds]


def command(arm: Arm, seeds: Sequence[int], runs: Sequence[Run]) -> str:
    """The command line that trains these seeds of an arm, as its other runs were started."""
    record = next(run.record for run in runs if run.record.arm == arm.folder)
    attention = record.config["attention"]
    settings = [word for word in repeated(record) if is_read(word, attention)]
    seed_list = f"seeds=[{','.join(map(str, seeds))}]"
    return shlex.join(["senet-train", *settings, seed_list])


def command_with(attention: Sequence[str], record: RunRecord) -> str:
    """The command line of a run like the record's, with other settings of the attention.

    `attention` are the words for them: `["attention=none"]`.
    """
    keys = ("attention", "ratio", "placement")
    settings = [word for word in repeated(record) if key_of(word).split(".")[0] not in keys]
    seed = [f"seed={record.seed}"] if record.seed else []
    return shlex.join(["senet-train", *settings, *attention, *seed])


def repeated(record: RunRecord) -> list[str]:
    """The settings by which a run was started, without its seed and its table."""
    settings = [word for word in record.overrides if key_of(word) not in NOT_REPEATED]
    table = ["arms=[]"] if any(word.startswith("experiment=") for word in settings) else []
    return [*table, *settings]


def is_read(word: str, attention: Mapping[str, Any]) -> bool:
    """Whether this attention reads the setting: a single run refuses one that nothing reads."""
    if key_of(word) == "ratio":
        return "ratio" in attention
    return not key_of(word).startswith("placement.") or attention["name"] != "none"
