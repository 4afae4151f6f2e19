"""Which arms of a table will be compared, and with what: as `senet-compare` will choose it."""

from collections.abc import Mapping, Sequence

from senet_train.compare import CONTROL
from senet_train.compare.blocks import (
    Recipe,
    RunsOfArm,
    RunsOfBlock,
    control_of,
    flatten,
    recipe_of,
)
from senet_train.training.plan import Plan


def blocks_of(arms: Mapping[str, Sequence[Plan]]) -> list[dict[str, Sequence[Plan]]]:
    """Arms that will be compared with each other: equal but for attention, placement, factor."""
    blocks: dict[Recipe, dict[str, Sequence[Plan]]] = {}
    for arm, runs in arms.items():
        content, factor = runs[0].identity.content, runs[0].config.factor
        recipe = recipe_of(dict(flatten(content)), factor)
        blocks.setdefault(recipe, {})[arm] = runs
    return list(blocks.values())


def controls_of(plans: Mapping[str, Plan], baseline: str) -> dict[str, str]:
    """Arm -> its control, for all arms that have one.

    Raises InputError where several arms may be the control of a block.
    """
    controls: dict[str, str] = {}
    for block in blocks_of({arm: [plan] for arm, plan in plans.items()}):
        control = control_among(block, baseline)
        if control is not None:
            controls |= {arm: control for arm in block if arm != control}
    return controls


def control_among(block: Mapping[str, Sequence[Plan]], baseline: str) -> str | None:
    """The control of a block; None if it has none. Raises InputError if several may be."""
    if baseline != CONTROL:
        return baseline if baseline in block else None
    facts = {arm: dict(flatten(plans[0].identity.content)) for arm, plans in block.items()}
    arms = [RunsOfArm(arm, {}, [facts[arm]]) for arm in block]
    control = control_of(RunsOfBlock({}, arms), baseline)
    return control.folder if control else None
