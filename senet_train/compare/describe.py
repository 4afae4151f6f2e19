"""Everything that a report says of one arm, and what the runs of a block share."""

from collections.abc import Sequence
from statistics import quantiles

from senet_train.compare.blocks import AXES, RunsOfArm, RunsOfBlock, recipe_of, score_of
from senet_train.compare.comparison import Arm, ArmCost, Spread
from senet_train.compare.excitations import excitations_of
from senet_train.compare.paper import paper_figure
from senet_train.compare.statistics.contrast import arm_interval
from senet_train.compare.statistics.verdict import Difference
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
    """The paper's top-1 of an arm; "" unless it differs from the control in attention alone."""
    same = recipe_of(arm.facts, ()) == recipe_of(control.facts, ()) and score_of(arm) == TOP1
    return paper_figure(arm.label, arm.facts["model.name"]) if same else ""


def differing_keys(arms: Sequence[RunsOfArm]) -> list[str]:
    """The keys in which arms differ.

    An attention's option counts only where arms that have it differ in it.
    """
    every = [facts for arm in arms for facts in arm.every_facts]
    keys = dict.fromkeys(key for facts in every for key in facts)
    return [
        key
        for key in keys
        if len({facts.get(key) for facts in every if key in facts or not is_attention_option(key)})
        > 1
    ]


def is_attention_option(key: str) -> bool:
    """Whether a key belongs to attention or placement: not every arm has it."""
    return key.startswith(AXES) and key != "attention.name"


def settings_of(arm: RunsOfArm, control: RunsOfArm) -> str:
    """`trainer.max_epochs=12`: the recipe's settings in which the arm differs from the control."""
    return " ".join(
        f"{key}={value}"
        for key, value in arm.facts.items()
        if not key.startswith(AXES) and value != control.facts.get(key)
    )


def common_facts(control: RunsOfArm) -> dict[str, str]:
    """What all runs of the block share: data, network, recipe, machine, versions."""
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
