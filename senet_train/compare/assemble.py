"""From runs to a comparison: fairness, means, verdicts, costs, side by side."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import quantiles

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.blocks import (
    AXES,
    RunsOfArm,
    RunsOfBlock,
    UnfairError,
    blocks_of,
    control_of,
    difference_of,
    recipe_of,
)
from senet_train.compare.bootstrap import (
    image_weights,
    interval_of,
    resampled,
    resampled_miou,
)
from senet_train.compare.collect import Run
from senet_train.compare.comparison import Arm, ArmCost, Block, Comparison, LeftOut, Spread
from senet_train.compare.contrast import arm_interval
from senet_train.compare.excitations import excitations_of
from senet_train.compare.paper import paper_figure
from senet_train.compare.verdict import Difference, judge
from senet_train.errors import InputError
from senet_train.record import Latency
from senet_train.scores import MIOU, TOP1, Score

DEFAULT_BASELINE = "attention=none"


def assemble(
    runs: Sequence[Run],
    left_out: Sequence[LeftOut],
    *,
    baseline: str,
    allowed: Sequence[str],
    margin: float,
    with_curves: bool,
) -> Comparison:
    """Judge every block that has its control and another arm; say so of the others.

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
    """The arms of a block but its control."""
    return [arm for arm in block.arms if arm is not control]


def all_left_out(block: RunsOfBlock, reason: str) -> list[LeftOut]:
    """Every run of a block that cannot be judged."""
    return [LeftOut(run.path, reason) for arm in block.arms for run in arm.runs.values()]


def refuse_unfair(
    blocks: Sequence[RunsOfBlock], controls: Sequence[RunsOfArm | None], baseline: str
) -> None:
    """Refuse a table with nothing to judge, and a baseline that is asked of other blocks."""
    pairs = list(zip(blocks, controls, strict=True))
    homes = [block for block, control in pairs if control]
    strays = [block for block, control in pairs if not control]
    if not homes:
        labels = sorted({arm.folder for block in blocks for arm in block.arms})
        raise InputError(
            f"no run is the baseline {baseline}: train it, or choose --baseline among "
            f"{', '.join(labels)}"
        )
    nothing = not any(control and len(block.arms) > 1 for block, control in pairs)
    if strays and (baseline != DEFAULT_BASELINE or nothing):
        arms = ", ".join(arm.folder for arm in strays[0].arms)
        differ = difference_of(homes[0].common, strays[0].common)
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
    keys = varying(block.arms)
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
    """`digits, resnet18`, and the task where it is not the usual one."""
    words = [control.facts["data.name"], control.facts["model.name"]]
    task = control.facts["task"]
    return ", ".join([*words, *([] if task == "classification" else [task])])


def describe_arm(
    control: RunsOfArm,
    every_seed: Sequence[int],
    with_curves: bool,
    arm: RunsOfArm,
    difference: Difference | None,
    images: tuple[float, float] | None,
) -> Arm:
    """Everything a table says of one arm."""
    metrics = [run.record.metrics for run in arm.runs.values()]
    return Arm(
        label=arm.label,
        folder=arm.folder,
        settings=settings_of(arm, control),
        seeds=sorted(arm.runs),
        missing_seeds=[seed for seed in every_seed if seed not in arm.runs],
        test=arm_interval([100 * m.test_score for m in metrics]),
        val=arm_interval([100 * m.val_score for m in metrics]),
        val_last=arm_interval([100 * m.val_score_last for m in metrics]),
        difference=difference,
        new_images=images,
        cost=cost_of(arm),
        curves={seed: run.curve() for seed, run in arm.runs.items()} if with_curves else {},
        paper=paper_of(arm, control),
        excitations=excitations_of(arm.runs.values()),
    )


def paper_of(arm: RunsOfArm, control: RunsOfArm) -> str:
    """The paper's top-1, for an arm that differs from the control in attention alone."""
    same = recipe_of(arm.facts, ()) == recipe_of(control.facts, ()) and score_of(arm) == TOP1
    return paper_figure(arm.label, arm.facts["model.name"]) if same else ""


def score_of(arm: RunsOfArm) -> Score:
    """By what an arm is judged, and so are all of its block: they are of one task."""
    return next(iter(arm.runs.values())).record.metrics.score


def new_images(arms: Sequence[RunsOfArm], control: RunsOfArm) -> dict[str, tuple[float, float]]:
    """The bootstrap's interval of every arm that shares a seed with the control.

    None of a score that cannot be had of resampled images.
    """
    score = score_of(control)
    if not score.of_any_images:
        return {}
    runs = [run for arm in (control, *arms) for run in arm.runs.values()]
    means = dict(zip((run.path for run in runs), RESAMPLED[score.key](runs).T, strict=True))
    intervals = {}
    for arm in arms:
        shared = sorted(arm.runs.keys() & control.runs.keys())
        paired = [means[arm.runs[s].path] - means[control.runs[s].path] for s in shared]
        if paired:
            intervals[arm.folder] = interval_of(np.stack(paired, 1))
    return intervals


def top1_resampled(runs: Sequence[Run]) -> NDArray[np.float32]:
    """Each run's share of right images on each sample, (num_samples, num_runs)."""
    num_images = len(runs[0].correct())
    correct = np.stack([same_length(run, num_images) for run in runs])
    return resampled(correct, image_weights(num_images))


def miou_resampled(runs: Sequence[Run]) -> NDArray[np.float32]:
    """Each run's mean intersection over union on each sample, (num_samples, num_runs)."""
    counts = [run.overlaps() for run in runs]
    num_images = len(counts[0][0])
    for run, (hits, _) in zip(runs, counts, strict=True):
        refuse_other_images(run.path / "overlaps.npz", len(hits), num_images)
    weights = image_weights(num_images)
    columns = [resampled_miou(hits, unions, weights) for hits, unions in counts]
    return np.stack(columns, 1)


# By the score's key.
RESAMPLED = {TOP1.key: top1_resampled, MIOU.key: miou_resampled}


def same_length(run: Run, num_images: int) -> NDArray[np.bool_]:
    """Which of the test images a run got right. Raises InputError for another number of them."""
    right = run.correct()
    refuse_other_images(run.path / "correct.npz", len(right), num_images)
    return right


def refuse_other_images(file: Path, present: int, num_images: int) -> None:
    """Raises InputError where a run has not as many test images as its control."""
    if present != num_images:
        raise InputError(
            f"{file} has {present} images and its control {num_images}: compare runs of one "
            "test set"
        )


def varying(arms: Sequence[RunsOfArm]) -> list[str]:
    """The keys in which arms differ: of an attention's options, those that several arms have."""
    every = [facts for arm in arms for facts in arm.every_facts]
    keys = dict.fromkeys(key for facts in every for key in facts)
    return [
        key
        for key in keys
        if len({facts.get(key) for facts in every if key in facts or not is_axis(key)}) > 1
    ]


def is_axis(key: str) -> bool:
    """Whether only some arms have the key."""
    return key.startswith(AXES) and key != "attention.name"


def settings_of(arm: RunsOfArm, control: RunsOfArm) -> str:
    """`trainer.max_epochs=12`: what of the recipe is the arm's own; the label has the rest."""
    return " ".join(
        f"{key}={value}"
        for key, value in arm.facts.items()
        if not key.startswith(AXES) and value != control.facts.get(key)
    )


def common_facts(control: RunsOfArm) -> dict[str, str]:
    """What the block's runs share, in a few words each."""
    facts = control.facts
    environment = next(iter(control.runs.values())).record.environment
    return {
        "data": f"{facts['data.name']} at {facts['data.image_size']} px",
        "network": facts["model.name"],
        "recipe": f"{facts['trainer.max_epochs']} epochs, batch {facts['data.batch_size']}, "
        f"lr {facts['optim.lr']}, {facts['optim.schedule.name']}",
        "precision": facts["trainer.precision"],
        "machine": f"{environment.device}, {environment.threads} threads",
        "code": f"senet-train {facts['versions.senet-train']} (code {facts['code'][:8]})",
        "versions": ", ".join(
            f"{package} {version}"
            for package, version in environment.versions.items()
            if package != "senet-train"
        ),
    }


def notes_of(block: RunsOfBlock) -> list[str]:
    """What does not make a comparison unfair and yet should be known."""
    environments = [run.record.environment for arm in block.arms for run in arm.runs.values()]
    notes = [
        f"runs of {arm.folder} differ among themselves in {', '.join(keys)}"
        for arm in block.arms
        if (keys := varying([arm]))
    ]
    notes += [
        f"runs of seed {seed} went on from different networks: the arm of model.pretrained was "
        "made anew in between"
        for seed in sorted({seed for arm in block.arms for seed in arm.runs})
        if len({arm.runs[seed].went_on_from() for arm in block.arms if seed in arm.runs} - {""}) > 1
    ]
    score = score_of(block.arms[0])
    if not score.of_any_images:
        notes.append(f"no interval on new images: {score.title} is no sum over images")
    for name in ("device", "cpu", "threads"):
        values = sorted({str(getattr(environment, name)) for environment in environments})
        if len(values) > 1:
            notes.append(
                f"runs differ in {name} ({', '.join(values)}): their speeds cannot be compared, "
                "and seeds pair less well"
            )
    return notes


def cost_of(arm: RunsOfArm) -> ArmCost:
    """Counts from the record; speeds as median and quartiles over runs, or one run's own."""
    costs = [run.record.cost for run in arm.runs.values()]
    first = costs[0]
    rates = [c.images_per_second for c in costs]
    return ArmCost(
        parameters=first.parameters,
        attention_parameters=first.attention_parameters,
        multiply_adds=first.multiply_adds,
        attention_multiply_adds=first.attention_multiply_adds,
        images_per_second=spread(rates, first.images_per_second_quartiles),
        inference_ms={
            size: latency_spread([c.inference_ms[size] for c in costs if size in c.inference_ms])
            for size in first.inference_ms
        },
        shared_machine=any(c.concurrent_runs for c in costs),
    )


def latency_spread(latencies: Sequence[Latency]) -> Spread:
    """Over runs, or inside the only one."""
    return spread([latency.median for latency in latencies], latencies[0].quartiles)


def spread(values: Sequence[float], within: tuple[float, float]) -> Spread:
    """Median and quartiles over runs; `within` are the quartiles inside a single run."""
    if len(values) == 1:
        return Spread(values[0], *within)
    low, median, high = quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)
