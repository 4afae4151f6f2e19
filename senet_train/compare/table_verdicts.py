"""A table of scores to a comparison: what it tells is checked, and what it cannot tell is said.

A block of the table has a control, and its rows must agree in every setting: only then do arms
differ in nothing that is known but themselves. Its arms are judged as runs without a plan, on the
seeds that they share with the control, in the order in which the later of the two rows stands: so
another row at the end changes nothing that was seen before.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from senet_train.compare import CONTROL, MARGIN
from senet_train.compare.blocks import UnfairError
from senet_train.compare.comparison import Arm, Block, Comparison
from senet_train.compare.judging import without_plan
from senet_train.compare.score_table import NO_SETTING, Row, ScoreTable, shown
from senet_train.compare.statistics.contrast import arm_interval, pooled_contrasts
from senet_train.compare.statistics.difference import Difference
from senet_train.compare.statistics.verdict import check_input, judge_paired
from senet_train.errors import InputError, listed
from senet_train.runs.metrics import Score

CONTROLS = ("none", "baseline", "control", CONTROL)  # names of an arm that is the control
SCORE = Score("score", "score", of_any_images=False)
IN_ROWS = "in the order of the rows"
UNPROVEN = (
    "A table cannot prove that its scores are of test images, that equal seeds pair the runs, that "
    "data, code and all other settings were equal, or that a plan came first: who made the runs "
    "answers for that, and the arms are judged as runs without a plan."
)


@dataclass(frozen=True)
class RowsOfBlock:
    """The rows of a block by arm, the control first; `name` is the block's in messages."""

    name: str
    title: str
    columns: tuple[str, ...]
    control: str
    arms: dict[str, list[Row]]

    @property
    def rows(self) -> list[Row]:
        """The rows of all arms."""
        return [row for rows in self.arms.values() for row in rows]


def compare_table(
    table: ScoreTable, *, baseline: str | None, allowed: Sequence[str], margin: float | None
) -> Comparison:
    """Judge every block of a table; without a `baseline`, against the arm named like a control.

    Raises InputError, and UnfairError for rows that differ in a setting that is not `allowed`.
    """
    refuse_unknown(table, allowed)
    blocks = blocks_of(table, baseline)
    for block in blocks:
        refuse_unfair(block, allowed)
        refuse_unshared(block)
    margin = MARGIN if margin is None else margin
    described = [describe_block(block, margin) for block in blocks]
    return Comparison(described, [], margin, list(allowed), caveats=[UNPROVEN])


def refuse_unknown(table: ScoreTable, allowed: Sequence[str]) -> None:
    """Raises InputError for `--allow` of what is no setting of the table."""
    for name in allowed:
        if name not in table.columns:
            there = listed(table.columns) or "none beside " + ", ".join(NO_SETTING)
            raise InputError(
                f"--allow {name}: {table.path} has no such setting, there are: {there}"
            )


def blocks_of(table: ScoreTable, baseline: str | None) -> list[RowsOfBlock]:
    """The blocks in the order of their first rows. Raises InputError without a control."""
    blocks: dict[str, dict[str, list[Row]]] = {}
    for row in table.rows:
        blocks.setdefault(row.block, {}).setdefault(row.arm, []).append(row)
    found = []
    for block, arms in blocks.items():
        name = f"block {shown(block)} of {table.path}" if block else str(table.path)
        control = control_of(name, arms, baseline)
        ordered = {control: arms[control], **arms}
        found.append(RowsOfBlock(name, block or table.path.name, table.columns, control, ordered))
    return found


def control_of(name: str, arms: Mapping[str, object], baseline: str | None) -> str:
    """The arm that is the control. Raises InputError where that is not clear, or no other is."""
    named = [arm for arm in (CONTROLS if baseline is None else [baseline]) if arm in arms]
    there = listed([shown(arm) for arm in arms])
    if baseline is not None and not named:
        raise InputError(f"{name} has no arm {baseline}: choose --baseline among {there}")
    if len(named) != 1:
        found = f"the arms {', '.join(named)}" if named else "no arm with a name of a control"
        raise InputError(
            f"{name} has {found}: name the control with --baseline ARM, one of {there}"
        )
    if len(arms) < 2:
        raise InputError(f"{name} has the arm {named[0]} alone: add an arm to compare with it")
    return named[0]


def refuse_unfair(block: RowsOfBlock, allowed: Sequence[str]) -> None:
    """Raises UnfairError for an arm whose rows differ in a setting, and for arms that do."""
    groups = {f"the seeds of {shown(arm)}": rows for arm, rows in block.arms.items()}
    for who, rows in {**groups, "the arms": block.rows}.items():
        if found := differing(block, rows, allowed):
            raise UnfairError(
                f"{block.name}: {who} differ in {in_words(found)}: put the rows of each setting "
                f"into a block of their own (column block), or say {to_allow(found)}"
            )


def differing(
    block: RowsOfBlock, rows: Sequence[Row], allowed: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Setting -> its values, for the settings in which rows differ, without the allowed ones."""
    values = {
        column: list(dict.fromkeys(row.settings[place] for row in rows))
        for place, column in enumerate(block.columns)
        if column not in allowed
    }
    return {column: found for column, found in values.items() if len(found) > 1}


def in_words(found: Mapping[str, Sequence[str]]) -> str:
    """`lr (0.1, 0.2); epochs (10, 20)`."""
    return "; ".join(f"{key} ({listed([*map(shown, values)])})" for key, values in found.items())


def to_allow(found: Mapping[str, object]) -> str:
    """`--allow lr --allow epochs`, as it is typed."""
    return " ".join(f"--allow {shlex.quote(column)}" for column in found)


def refuse_unshared(block: RowsOfBlock) -> None:
    """Raises InputError for a block in which no arm shares a seed with the control."""
    seeds = {row.seed for row in block.arms[block.control]}
    if not any(row.seed in seeds for arm in others_of(block) for row in block.arms[arm]):
        raise InputError(
            f"{block.name}: arms are paired with their control by seed, and none has a seed of "
            f"{shown(block.control)}: add rows of equal seeds"
        )


def others_of(block: RowsOfBlock) -> list[str]:
    """The arms without the control."""
    return [arm for arm in block.arms if arm != block.control]


def describe_block(block: RowsOfBlock, margin: float) -> Block:
    """One block's arms with their verdicts, the control first."""
    every_seed = sorted({row.seed for row in block.rows})
    differences = judge_block(block, margin)
    varied = differing(block, block.rows)
    shared = {key: block.rows[0].settings[place] for place, key in enumerate(block.columns)}
    notes = [
        f"runs of {arm} differ among themselves in {', '.join(found)}"
        for arm, rows in block.arms.items()
        if (found := differing(block, rows))
    ]
    return Block(
        title=block.title,
        score=SCORE,
        common={key: value for key, value in shared.items() if key not in varied},
        varied={key: arms_by_value(block, key) for key in varied},
        differ_in=["arm", *varied],
        control=block.control,
        arms=[describe_arm(block, arm, every_seed, differences.get(arm)) for arm in block.arms],
        notes=notes,
        judged_by=[without_plan(others_of(block), IN_ROWS)],
    )


def judge_block(block: RowsOfBlock, margin: float) -> dict[str, Difference]:
    """The verdict on every arm but the control. Raises InputError."""
    scores = {arm: {row.seed: row.score for row in rows} for arm, rows in block.arms.items()}
    check_input(scores, block.control, margin)
    paired = {arm: differences_of(block, arm) for arm in others_of(block)}
    judged = judge_paired(paired, pooled_contrasts(scores, block.control), margin)
    return {found.arm: found for found in judged}


def differences_of(block: RowsOfBlock, arm: str) -> NDArray[np.float64]:
    """The arm less the control at each shared seed, in the order of the later of the two rows."""
    control = {row.seed: row for row in block.arms[block.control]}
    pairs = [(row, control[row.seed]) for row in block.arms[arm] if row.seed in control]
    pairs.sort(key=lambda pair: max(pair[0].line, pair[1].line))
    return np.array([own.score - base.score for own, base in pairs])


def arms_by_value(block: RowsOfBlock, column: str) -> dict[str, list[str]]:
    """Value of a setting -> the arms that have a row with it."""
    place, found = block.columns.index(column), dict[str, list[str]]()
    for arm, rows in block.arms.items():
        for value in dict.fromkeys(row.settings[place] for row in rows):
            found.setdefault(value, []).append(arm)
    return found


def describe_arm(
    block: RowsOfBlock, arm: str, every_seed: Sequence[int], difference: Difference | None
) -> Arm:
    """What a table tells of an arm."""
    rows = block.arms[arm]
    seeds = {row.seed for row in rows}
    own, base = rows[0].settings, block.arms[block.control][0].settings
    return Arm(
        label=arm,
        folder=arm,
        settings=" ".join(
            f"{key}={value}"
            for key, value, other in zip(block.columns, own, base, strict=True)
            if value != other
        ),
        seeds=sorted(seeds),
        missing_seeds=[seed for seed in every_seed if seed not in seeds],
        test=arm_interval([row.score for row in rows]),
        val=None,
        val_last=None,
        difference=difference,
        new_images=None,
        cost=None,
        curves={},
        paper="",
    )
