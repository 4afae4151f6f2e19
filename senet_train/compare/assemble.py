"""From runs to a comparison: refuse what is unfair, judge every block, describe every arm."""

from collections.abc import Sequence
from functools import partial
from pathlib import PureWindowsPath

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
from senet_train.compare.describe import caveats_of_control, describe_arm, notes_of
from senet_train.compare.judging import Judged, judge_contests
from senet_train.compare.new_images import new_images
from senet_train.compare.next_runs import command_with
from senet_train.compare.no_baseline import nearest_control, no_baseline
from senet_train.compare.provenance import provenance_of
from senet_train.compare.seed_scatter import scatter_of_differences
from senet_train.compare.shared import common_facts, differing_keys, varied_facts
from senet_train.compare.statistics.difference import with_dispersion
from senet_train.compare.studies import contests_of
from senet_train.errors import InputError


def assemble(
    runs: Sequence[Run],
    left_out: Sequence[LeftOut],
    *,
    baseline: str,
    allowed: Sequence[str],
    margin: float | None,
    with_curves: bool,
) -> Comparison:
    """Judge every block that has a control and another arm; the others' runs are left out.

    A `margin` of None is that of the plan, and 0.3 without one. Raises InputError if no block can
    be judged, OnlyBaseline if that is because there is no other arm, UnfairError if runs differ in
    more than attention, or if the baseline asked for is not in every block.
    """
    blocks = blocks_of(runs, allowed)
    controls = [control_of(block, baseline) for block in blocks]
    with_control = [block for block, control in zip(blocks, controls, strict=True) if control]
    if not with_control:
        raise InputError(no_baseline(baseline, blocks, left_out))
    refuse_unfair(blocks, controls, baseline)
    fair: list[tuple[RunsOfBlock, RunsOfArm]] = []
    out = list(left_out)
    for block, control in zip(blocks, controls, strict=True):
        if control is None or len(block.arms) < 2:
            alone = "no other arm to compare it with"
            out += all_left_out(block, alone if control else nearest_control(block, with_control))
        elif not any(arm.runs.keys() & control.runs.keys() for arm in others_of(block, control)):
            out += all_left_out(block, f"no seed is shared with its control {control.folder}")
        else:
            fair.append((block, control))
    if not fair:
        raise InputError(f"nothing can be compared: {out[-1].path}: {out[-1].reason}")
    contests = [
        contest
        for number, (block, control) in enumerate(fair)
        for contest in contests_of(number, control, others_of(block, control), left_out)
    ]
    judged = judge_contests(contests, margin)
    described = [
        describe_block(number, block, control, judged, with_curves)
        for number, (block, control) in enumerate(fair)
    ]
    caveats = [words for _, control in fair for words in caveats_of_control(control)]
    return Comparison(described, out, judged.margin, list(allowed), list(dict.fromkeys(caveats)))


class OnlyBaseline(InputError):
    """There is nothing but a control: `runs` are its own, which have noise to tell of."""

    def __init__(self, message: str, runs: Sequence[Run]) -> None:
        super().__init__(message)
        self.runs = runs


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
    nothing = not any(control and len(block.arms) > 1 for block, control in pairs)
    if without_control and (baseline != CONTROL or nothing):
        arms = ", ".join(arm.folder for arm in without_control[0].arms)
        differ = differing_settings(with_control[0].common, without_control[0].common)
        raise UnfairError(
            f"{arms} cannot be compared with the baseline {baseline}: they differ in {differ}; "
            "train the baseline with their settings, or say --allow KEY"
        )
    if nothing:
        runs = [run for block in blocks for arm in block.arms for run in arm.runs.values()]
        arm = command_with(["attention=se", "ratio=16"], runs[0].record)
        raise OnlyBaseline(
            f"there is only the baseline {baseline}: train an arm to compare with it ({arm}), or "
            "more seeds of it to see how much its runs vary",
            runs,
        )


def describe_block(
    number: int, block: RunsOfBlock, control: RunsOfArm, judged: Judged, with_curves: bool
) -> Block:
    """One block's arms with their verdicts, the control first."""
    others = others_of(block, control)
    every_seed = sorted({seed for arm in block.arms for seed in arm.runs})
    images, scatter = new_images(others, control), scatter_of_differences(others, control)
    describe = partial(describe_arm, control, every_seed, with_curves)
    arms = [describe(control, None, None)]
    arms += [
        describe(
            arm,
            with_dispersion(judged.differences[number, arm.folder], scatter.get(arm.folder)),
            images.get(arm.folder),
        )
        for arm in others
    ]
    epoch_by = next(iter(control.runs.values())).epoch_by
    return Block(
        title=title_of(block),
        score=score_of(control),
        common=common_facts(block),
        varied=varied_facts(block),
        differ_in=differing_keys(block.arms),
        control=control.folder,
        arms=arms,
        notes=[*notes_of(block), *judged.notes.get(number, []), *notes_of_choice(epoch_by)],
        judged_by=judged.bases[number],
        provenance=provenance_of(block),
        epoch_by=epoch_by,
        test_images=test_images_of(block),
    )


def notes_of_choice(epoch_by: str) -> list[str]:
    """What a reader must know where `--score` chose another score than the one of training."""
    if not epoch_by:
        return []
    return [
        f"the score was chosen with --score, the best epochs by {epoch_by}: verdicts by several "
        "scores share no error, so decide by one that was named before the runs were seen"
    ]


def title_of(block: RunsOfBlock) -> str:
    """`digits, resnet18`, of a user's folder `birds (imagenet_subset), resnet18`.

    And the task where it is not classification. Of what was allowed to differ, all names.
    """
    every = [facts for arm in block.arms for facts in arm.every_facts]
    names = [dict.fromkeys(facts[key] for facts in every) for key in ("data.name", "model.name")]
    task = every[0]["task"]
    data, model = (" and ".join(found) for found in names)
    if folders := folders_of(block):
        data = f"{' and '.join(folders)} ({data})"
    return ", ".join([data, model, *([] if task == "classification" else [task])])


def folders_of(block: RunsOfBlock) -> list[str]:
    """The names of the users' folders that the images lay in, whatever system the runs are of."""
    records = [run.record for arm in block.arms for run in arm.runs.values()]
    roots = [
        str(record.config["data"].get("root"))
        for record in records
        if record.config["data"]["name"] == "imagenet_subset"
    ]
    names = (PureWindowsPath(root).name for root in roots)  # it knows both separators
    return sorted({name for name in names if name})


def test_images_of(block: RunsOfBlock) -> int:
    """How many images each run was tested on; 0 where a record does not say."""
    every = [run.record.data.images for arm in block.arms for run in arm.runs.values()]
    counts = {images.get("test", 0) for images in every}
    return counts.pop() if len(counts) == 1 else 0
