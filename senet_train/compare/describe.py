"""Everything that a report says of one arm, and the notes on a block."""

import math
from collections.abc import Sequence
from statistics import fmean, quantiles

from senet_train.compare.blocks import AXES, RunsOfArm, RunsOfBlock, recipe_of, score_of
from senet_train.compare.comparison import Arm, ArmCost, Spread
from senet_train.compare.excitations import excitations_of
from senet_train.compare.paper import is_imagenet, paper_figure
from senet_train.compare.shared import differing_keys, machine_of
from senet_train.compare.statistics.contrast import arm_interval
from senet_train.compare.statistics.difference import Difference
from senet_train.errors import counted
from senet_train.runs.metrics import TOP1
from senet_train.runs.record import Latency


def describe_arm(
    control: RunsOfArm,
    every_seed: Sequence[int],
    with_curves: bool,
    arm: RunsOfArm,
    difference: Difference | None,
    images: tuple[float, float] | None,
) -> Arm:
    """Everything that a report says of one arm; `images` is its interval on new images."""
    metrics = [run.record.metrics for run in arm.runs.values()]
    validated = all(m.is_validated for m in metrics)
    drawn = with_curves and validated
    return Arm(
        label=arm.label,
        folder=arm.folder,
        settings=settings_of(arm, control),
        seeds=sorted(arm.runs),
        missing_seeds=[seed for seed in every_seed if seed not in arm.runs],
        test=arm_interval([100 * m.test_score for m in metrics]),
        val=arm_interval([100 * m.val_score for m in metrics]) if validated else None,
        val_last=arm_interval([100 * m.val_score_last for m in metrics]) if validated else None,
        difference=difference,
        new_images=images,
        cost=cost_of(arm),
        curves={seed: run.curve() for seed, run in arm.runs.items()} if drawn else {},
        paper=paper_of(arm, control),
        excitations=excitations_of(arm.runs.values()),
    )


def paper_of(arm: RunsOfArm, control: RunsOfArm) -> str:
    """The paper's top-1 of an arm; "" unless it differs from the control in attention alone.

    And "" unless it is a figure of this network on these data.
    """
    facts = arm.facts
    same = recipe_of(facts, ()) == recipe_of(control.facts, ()) and score_of(arm) == TOP1
    if not same or not is_imagenet(facts["data.name"], facts.get("data.num_classes", "")):
        return ""
    return paper_figure(arm.label, facts["model.name"])


def settings_of(arm: RunsOfArm, control: RunsOfArm) -> str:
    """`trainer.max_epochs=12`: the recipe's settings in which the arm differs from the control."""
    return " ".join(
        f"{key}={value}"
        for key, value in arm.facts.items()
        if not key.startswith(AXES) and value != control.facts.get(key)
    )


def caveats_of_control(control: RunsOfArm) -> list[str]:
    """That the control has hardly learnt: attention cannot be judged on such a network.

    Its mean top-1 is then within 1.96 standard errors, over the test images, of what naming the
    largest class of every image gives. Nothing of records without that figure.
    """
    runs = list(control.runs.values())
    data = runs[0].record.data
    share, num_images = data.largest_class_share, data.images.get("test", 0)
    if score_of(control) != TOP1 or not 0 < share < 1 or not num_images:
        return []
    right = fmean(run.record.metrics.test_score for run in runs)
    if right > share + 1.96 * math.sqrt(share * (1 - share) / num_images):
        return []
    return [
        f"{control.label} names {100 * right:.1f} % of {counted(num_images, 'test image')} "
        f"rightly, and the largest class is {100 * share:.1f} % of them: it has hardly learnt, so "
        "train longer (trainer.max_epochs) before you judge attention."
    ]


def notes_of(block: RunsOfBlock) -> list[str]:
    """Warnings, one line each, of what leaves the comparison fair and may still mislead."""
    environments = [run.record.environment for arm in block.arms for run in arm.runs.values()]
    notes = [
        f"runs of {arm.folder} differ among themselves in {', '.join(keys)}"
        for arm in block.arms
        if (keys := differing_keys([arm]))
    ]
    notes += [
        f"runs of seed {seed} went on from different networks: the arm of model.pretrained was "
        "made anew in between"
        for seed in sorted({seed for arm in block.arms for seed in arm.runs})
        if len(
            {arm.runs[seed].pretrained_sha256() for arm in block.arms if seed in arm.runs} - {""}
        )
        > 1
    ]
    notes += notes_of_ends(block)
    score = score_of(block.arms[0])
    if not score.of_any_images:
        notes.append(f"no interval on new images: {score.title} is no sum over images")
    machines = [machine_of(environment) for environment in environments]
    for name in ("device", "cpu", "threads"):
        values = sorted({machine[name] for machine in machines if name in machine})
        if len(values) > 1:
            notes.append(
                f"runs differ in {name} ({', '.join(values)}): their speeds cannot be compared, "
                "and seeds pair less well"
            )
    return notes


def notes_of_ends(block: RunsOfBlock) -> list[str]:
    """Which rules stopped runs before their last epoch, and what a budget of time means."""
    ends = [run.record.ended for arm in block.arms for run in arm.runs.values()]
    notes = []
    for rule in ("patience", "max_minutes"):
        if epochs := [end.epochs for end in ends if end.rule == rule]:
            notes.append(
                f"trainer.{rule} stopped {len(epochs)} of {counted(len(ends), 'run')}, after "
                f"{min(epochs)} to {counted(max(epochs), 'epoch')}"
            )
    if any("trainer.max_minutes" in facts for arm in block.arms for facts in arm.every_facts):
        notes.append(
            "trainer.max_minutes is a budget of time: how many epochs a run had depends on its "
            "machine, and what else ran there"
        )
    return notes


def cost_of(arm: RunsOfArm) -> ArmCost:
    """Counts, which all runs of an arm share; speeds as median and quartiles over the runs."""
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
    """Median and quartiles over runs; of a single run, those inside it."""
    return spread([latency.median for latency in latencies], latencies[0].quartiles)


def spread(values: Sequence[float], within: tuple[float, float]) -> Spread:
    """Median and quartiles over runs; `within` are the quartiles inside a single run."""
    if len(values) == 1:
        return Spread(values[0], *within)
    low, median, high = quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)
