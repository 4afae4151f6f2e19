"""From runs to a comparison: fairness, means, verdicts, costs, side by side."""

from collections.abc import Sequence
from functools import partial
from statistics import quantiles

import numpy as np

from senet_train.compare.blocks import (
    AXES,
    RunsOfArm,
    RunsOfBlock,
    UnfairError,
    blocks_of,
    control_of,
    difference_of,
)
from senet_train.compare.bootstrap import bootstrap_over_images_and_seeds, image_weights
from senet_train.compare.collect import Run
from senet_train.compare.comparison import Arm, ArmCost, Block, Comparison, LeftOut, Spread
from senet_train.compare.contrast import arm_interval
from senet_train.compare.paper import paper_figure
from senet_train.compare.verdict import Difference, judge
from senet_train.errors import InputError
from senet_train.record import Latency

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
            out += [LeftOut(run.path, reason) for arm in block.arms for run in arm.runs.values()]
        else:
            judged.append(judge_block(block, control, margin, with_curves))
    return Comparison(judged, out, margin, list(allowed))


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
            "train it with the same settings, or say --allow KEY"
        )
    if nothing:
        raise InputError(f"there is only the baseline {baseline}: train an arm to compare with it")


def judge_block(block: RunsOfBlock, control: RunsOfArm, margin: float, with_curves: bool) -> Block:
    """One block's arms, the control first. Raises InputError if no seed is shared."""
    others = [arm for arm in block.arms if arm is not control]
    accuracies = {
        arm.folder: {seed: 100 * run.record.metrics.test_top1 for seed, run in arm.runs.items()}
        for arm in (control, *others)
    }
    differences = {d.arm: d for d in judge(accuracies, control.folder, margin=margin)}
    every_seed = sorted({seed for arm in block.arms for seed in arm.runs})
    images = new_images(others, control)
    describe = partial(describe_arm, block, control, every_seed, with_curves)
    arms = [describe(control, None, None)]
    arms += [describe(arm, differences[arm.folder], images.get(arm.folder)) for arm in others]
    keys = varying(block.arms)
    return Block(
        title=f"{block.common['data.name']}, {control.facts['model.name']}",
        common=common_facts(control),
        differ_in=keys,
        control=control.folder,
        arms=arms,
        notes=notes_of(block),
    )


def describe_arm(
    block: RunsOfBlock,
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
        settings="" if arm is control else settings_of(arm, control, block),
        seeds=sorted(arm.runs),
        missing_seeds=[seed for seed in every_seed if seed not in arm.runs],
        test=arm_interval([100 * m.test_top1 for m in metrics]),
        val=arm_interval([100 * m.val_top1 for m in metrics]),
        val_last=arm_interval([100 * m.val_top1_last for m in metrics]),
        difference=difference,
        new_images=images,
        cost=cost_of(arm),
        curves={seed: run.curve() for seed, run in arm.runs.items()} if with_curves else {},
        paper=paper_figure(arm.label, arm.facts["model.name"]),
    )


def new_images(arms: Sequence[RunsOfArm], control: RunsOfArm) -> dict[str, tuple[float, float]]:
    """The bootstrap's interval of every arm that shares a seed with the control."""
    correct = {seed: run.correct() for seed, run in control.runs.items()}
    weights = image_weights(len(next(iter(correct.values()))))
    intervals = {}
    for arm in arms:
        shared = sorted(arm.runs.keys() & correct.keys())
        if shared:
            own = np.stack([arm.runs[seed].correct() for seed in shared])
            base = np.stack([correct[seed] for seed in shared])
            intervals[arm.folder] = bootstrap_over_images_and_seeds(own, base, weights=weights)
    return intervals


def varying(arms: Sequence[RunsOfArm]) -> list[str]:
    """The keys in which arms differ: of an attention's options, those that several arms have."""
    keys = dict.fromkeys(key for arm in arms for key in arm.facts)
    return [
        key
        for key in keys
        if len({arm.facts.get(key) for arm in arms if key in arm.facts or not is_axis(key)}) > 1
    ]


def is_axis(key: str) -> bool:
    """Whether only some arms have the key."""
    return key.startswith(AXES) and key != "attention.name"


def settings_of(arm: RunsOfArm, control: RunsOfArm, block: RunsOfBlock) -> str:
    """`attention.name=se attention.ratio=4`: what of the varying keys is this arm's own."""
    keys = ["attention.name", *(key for key in varying(block.arms) if key != "attention.name")]
    own = {key: arm.facts[key] for key in keys if key in arm.facts}
    return " ".join(f"{k}={v}" for k, v in own.items() if v != control.facts.get(k))


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
    notes = []
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
