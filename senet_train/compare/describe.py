"""Everything that a table says of one arm, and what a block's runs share."""

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
