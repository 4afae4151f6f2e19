"""From runs to a comparison: refuse what is unfair, judge every block, describe every arm."""

from collections.abc import Sequence
from functools import partial

from senet_train.compare import CONTROL
from senet_train.compare.blocks import (
    RunsOfArm,
    RunsOfBlock,
    UnfairError,
    blocks_of,
    control_of,
    differing_settings,
    score_of,
)
from senet_train.compare.collect import Run
from senet_train.compare.comparison import Block, Comparison, LeftOut
from senet_train.compare.describe import common_facts, describe_arm, differing_keys, notes_of
from senet_train.compare.new_images import new_images
from senet_train.compare.statistics.verdict import judge
from senet_train.errors import InputError


def assemble(
    runs: Sequence[Run],
    left_out: Sequence[LeftOut],
    *,
    baseline: str,
    allowed: Sequence[str],
    margin: float,
    with_curves: bool,
) -> Comparison:
    """Judge every block that has a control and another arm; the others' runs are left out.

    Raises InputError if no block can be judged, UnfairError if that is because runs differ in
    more than attention, or if the baseline asked for is not in every block.
    """
    blocks = blocks_of(runs, allowed)
    controls = [control_of(block, baseline) for block in blocks]
    refuse_unfair(blocks, controls, baseline)
    judged, out = [], list(left_out)
    for block, control in zip(blocks, controls, strict=True):
        if control is None or len(block.arms) < 2:
            reason = "no other arm to compare it with" if control else "no control in its block"
            out += all_left_out(block, reason)
        elif not any(arm.runs.keys() & control.runs.keys() for arm in others_of(block, control)):
            out += all_left_out(block, f"no seed is shared with its control {control.folder}")
        else:
            judged.append(judge_block(block, control, margin, with_curves))
    if not judged:
        raise InputError(f"nothing can be compared: {out[-1].path}: {out[-1].reason}")
    return Comparison(judged, out, margin, list(allowed))


def others_of(block: RunsOfBlock, control: RunsOfArm) -> list[RunsOfArm]:
    """The arms of a block without its control."""
    return [arm for arm in block.arms if arm is not control]


def all_left_out(block: RunsOfBlock, reason: str) -> list[LeftOut]:
    """Every run of a block that cannot be judged, with the reason."""
    return [LeftOut(run.path, reason) for arm in block.arms for run in arm.runs.values()]


def refuse_unfair(
    blocks: Sequence[RunsOfBlock], controls: Sequence[RunsOfArm | None], baseline: str
) -> None:
    """Raises InputError or UnfairError where `assemble` says so, before anything is judged."""
    pairs = list(zip(blocks, controls, strict=True))
    with_control = [block for block, control in pairs if control]
    without_control = [block for block, control in pairs if not control]
    if not with_control:
        labels = sorted({arm.folder for block in blocks for arm in block.arms})
        raise InputError(
            f"no run is the baseline {baseline}: train it, or choose --baseline among "
            f"{', '.join(labels)}"
        )
    nothing = not any(control and len(block.arms) > 1 for block, control in pairs)
    if without_control and (baseline != CONTROL or nothing):
        arms = ", ".join(arm.folder for arm in without_control[0].arms)
        differ = differing_settings(with_control[0].common, without_control[0].common)
        raise UnfairError(
            f"{arms} cannot be compared with the baseline {baseline}: they differ in {differ}; "
            "train the baseline with their settings, or say --allow KEY"
        )
    if nothing:
        raise InputError(f"there is only the baseline {baseline}: train an arm to compare with it")


def judge_block(block: RunsOfBlock, control: RunsOfArm, margin: float, with_curves: bool) -> Block:
    """One block's arms, the control first. Raises InputError if no seed is shared."""
    others = others_of(block, control)
    accuracies = {
        arm.folder: {seed: 100 * run.record.metrics.test_score for seed, run in arm.runs.items()}
        for arm in (control, *others)
    }
    differences = {d.arm: d for d in judge(accuracies, control.folder, margin=margin)}
    every_seed = sorted({seed for arm in block.arms for seed in arm.runs})
    images = new_images(others, control)
    describe = partial(describe_arm, control, every_seed, with_curves)
    arms = [describe(control, None, None)]
    arms += [describe(arm, differences[arm.folder], images.get(arm.folder)) for arm in others]
    keys = differing_keys(block.arms)
    return Block(
        title=title_of(block, control),
        score=score_of(control),
        common=common_facts(control),
        differ_in=keys,
        control=control.folder,
        arms=arms,
        notes=notes_of(block),
    )


def title_of(block: RunsOfBlock, control: RunsOfArm) -> str:
    """`digits, resnet18`, and the task where it is not classification."""
    words = [control.facts["data.name"], control.facts["model.name"]]
    task = control.facts["task"]
    return ", ".join([*words, *([] if task == "classification" else [task])])
