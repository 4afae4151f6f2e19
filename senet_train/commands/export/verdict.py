"""The verdict of `senet-compare` on a run's arm, in the table that the run is part of."""

from pathlib import Path

from senet_train.compare import CONTROL, MARGIN
from senet_train.compare.assemble import assemble
from senet_train.compare.collect import collect
from senet_train.compare.comparison import Arm, Block
from senet_train.compare.render.cells import mean_and_sd, signed, signed_interval
from senet_train.compare.render.markdown import escaped
from senet_train.compare.render.verdicts import verdict_words
from senet_train.errors import RunError, counted
from senet_train.runs.trained.load import Trained


def verdict_of(run: Trained) -> str:
    """The verdict, or why there is none. Reads the runs beside this one, writes nothing."""
    table = table_of(run)
    if run.record is None or table is None:
        return "no comparison: the run is not in a table's folder, beside runs of other arms"
    try:
        runs, left_out = collect([table])
        found = assemble(
            runs, left_out, baseline=CONTROL, allowed=(), margin=MARGIN, with_curves=False
        )
    except RunError:  # another run of the table may be damaged
        return "no comparison: `senet-compare` finds nothing that this arm can be judged by"
    for block in found.blocks:
        for arm in block.arms:
            if arm.folder == run.record.arm:
                return sentence(arm, block)
    return "no comparison: no control was trained with this arm's settings"


def table_of(run: Trained) -> Path | None:
    """`outputs/<data>`, if the run lies where it was made; else None."""
    arm = run.path.resolve().parent
    usual = run.record and (arm.parent.name, arm.name) == (
        run.config.data.source.name,
        run.record.arm,
    )
    return arm.parent if usual else None


def sentence(arm: Arm, block: Block) -> str:
    """The arm over all its seeds, and against the control."""
    mean = f"{counted(len(arm.seeds), 'seed')}, test top-1 {mean_and_sd(arm.test)} %"
    if arm.difference is None:
        return f"{mean}; this arm is the control of its table"
    control = block.arms[0]
    found = arm.difference
    interval = signed_interval(found.low, found.high)
    return (
        f"{mean}; {signed(found.difference)} points (95 % interval {interval}) against "
        f"{escaped(control.label)} ({mean_and_sd(control.test)} %), paired over "
        f"{counted(found.num_seeds, 'seed')}: **{verdict_words(arm, block)}**"
    )
