"""A table of the control alone ends with what its runs say of noise."""

from collections.abc import Sequence
from pathlib import Path

from senet_train.compare import CONTROL
from senet_train.compare.collect import collect
from senet_train.compare.noise import noise_studies
from senet_train.compare.render import noise
from senet_train.sweeps.controls import blocks_of, control_among
from senet_train.training.plan import Plan


def controls_alone(plans: Sequence[Plan]) -> list[Path]:
    """The folders of the arms, if each is a control of several seeds that no arm is beside."""
    arms: dict[str, list[Plan]] = {}
    for plan in plans:
        arms.setdefault(plan.identity.arm, []).append(plan)
    blocks = blocks_of(arms)
    alone = all(len(block) == 1 and control_among(block, CONTROL) for block in blocks)
    if not alone or max(map(len, arms.values())) < 2:
        return []
    return list(dict.fromkeys(plan.folder.path.parent for plan in plans))


def print_noise(arms: Sequence[Path]) -> None:
    """Print how much the runs in the folders of controls vary, where two or more have finished.

    Raises InputError for damaged records.
    """
    runs, _ = collect([arm for arm in arms if arm.is_dir()])
    noise.print_noise(noise_studies(runs, CONTROL))
