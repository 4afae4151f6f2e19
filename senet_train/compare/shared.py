"""What all runs of a block share, and in what they differ: from every run, not from the control."""

from collections.abc import Iterator, Sequence

from senet_train.compare.blocks import AXES, NOT_SET, Facts, RunsOfArm, RunsOfBlock, value_of
from senet_train.runs.record import Environment

# Part -> what is said of it, each with the key that it is about, and what joins them.
PARTS = {
    "data": (" ", {"data.name": "{}", "data.image_size": "at {} px"}),
    "network": (" ", {"model.name": "{}"}),
    "recipe": (
        ", ",
        {
            "trainer.max_epochs": "{} epochs",
            "data.batch_size": "batch {}",
            "data.padding_mode": "{} padding",
            "data.augment": "{}",
            "data.mixup": "mixup {}",
            "data.cutmix": "cutmix {}",
            "optim.accumulate": "{} batches a step",
            "optim.name": "{}",
            "optim.lr": "lr {}",
            "optim.schedule.name": "{}",
            "optim.layer_decay": "layer decay {}",
            "data.sampling": "{} sampling",
            "data.test_size": "tested at {} px",
            "data.test_resize": "cut out of {} px",
            "data.test_flips": "tested with {} flips",
            "optim.class_weights": "class weights {}",
            "optim.class_weights_beta": "of beta {}",
            "optim.focal_gamma": "focal loss of gamma {}",
            "trainer.score": "best epoch by {}",
            "trainer.patience": "patience of {} epochs",
            "trainer.max_minutes": "at most {} minutes",
        },
    ),
    "precision": (" ", {"trainer.precision": "{}"}),
    "machine": (", ", {"device": "{}", "threads": "threads {}"}),
    "code": (" ", {"versions.senet-train": "senet-train {}", "code": "(code {:.8})"}),
}


def common_facts(block: RunsOfBlock) -> dict[str, str]:
    """Part -> what every run of the block has: data, network, recipe, machine, versions.

    What differs between two runs, of whatever arms, is left out.
    """
    shared = {
        key: values[0] for key, values in values_by_key(block.arms).items() if len(values) < 2
    }
    said = {
        part: joint.join(said_of(shared[key], form) for key, form in forms.items() if key in shared)
        for part, (joint, forms) in PARTS.items()
    }
    packages = {key: key.removeprefix("versions.") for key in shared if key.startswith("versions.")}
    versions = [f"{name} {shared[key]}" for key, name in packages.items() if name != "senet-train"]
    return {
        part: words for part, words in {**said, "versions": ", ".join(versions)}.items() if words
    }


def said_of(value: str, form: str) -> str:
    """`1 epoch`, `10 epochs`."""
    return form.format(value).removesuffix("s" if value == "1" else "")


def varied_facts(block: RunsOfBlock) -> dict[str, dict[str, list[str]]]:
    """Key -> each of its values -> the folders of the arms with it, for what runs do not share.

    Without attention and placement, which the names of the arms tell.
    """
    varied = [
        key
        for key, values in values_by_key(block.arms).items()
        if len(values) > 1 and not key.startswith(AXES)
    ]
    return {key: arms_by_value(block, key) for key in varied}


def arms_by_value(block: RunsOfBlock, key: str) -> dict[str, list[str]]:
    """Value -> the folders of the arms that have a run with it, in the order of the arms."""
    found: dict[str, list[str]] = {}
    for arm in block.arms:
        for value in dict.fromkeys(value_of(facts, key) for facts in with_machine(arm)):
            found.setdefault(value, []).append(arm.folder)
    return found


def values_by_key(arms: Sequence[RunsOfArm]) -> dict[str, list[str]]:
    """Key -> the different values of all runs, the machine's keys as well."""
    every = [facts for arm in arms for facts in with_machine(arm)]
    keys = dict.fromkeys(key for facts in every for key in facts)
    return {key: list(dict.fromkeys(facts.get(key, NOT_SET) for facts in every)) for key in keys}


def with_machine(arm: RunsOfArm) -> Iterator[Facts]:
    """The facts of each run of an arm, and its machine's: no part of its recipe."""
    for facts, run in zip(arm.every_facts, arm.runs.values(), strict=True):
        yield {**facts, **machine_of(run.record.environment)}


def machine_of(environment: Environment) -> Facts:
    """Device and threads, and the processor beside a GPU."""
    cpu = {} if environment.cpu == environment.device else {"cpu": environment.cpu}
    return {"device": environment.device, **cpu, "threads": str(environment.threads)}


def differing_keys(arms: Sequence[RunsOfArm]) -> list[str]:
    """The keys in which arms differ, their machines' among them.

    An attention's option counts only where arms that have it differ in it.
    """
    every = [facts for arm in arms for facts in with_machine(arm)]
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
