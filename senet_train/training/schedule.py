"""Learning-rate schedules: a factor of the peak rate as a function of training progress.

Each constructor returns `factor(progress)` for progress in [0, 1), the fraction of the optimizer
steps done. Pure functions of the step: nothing to save, nothing to get wrong on resume.
"""

import math
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from senet_train.config.schema import Fraction

Share = Annotated[float, Field(ge=0, le=1)]
Few = Annotated[int, Field(ge=1, le=100)]


Schedule = Callable[[float], float]


def constant() -> Schedule:
    """The peak rate throughout."""
    return lambda progress: 1.0


def step(*, milestones: list[Fraction], gamma: Share) -> Schedule:
    """Multiply by `gamma` at each milestone, given as a fraction of training."""
    return lambda progress: gamma ** sum(progress >= m for m in milestones)


def cosine(*, final: Share = 0.0) -> Schedule:
    """Half a cosine from 1 down to `final`: Loshchilov and Hutter, arXiv:1608.03983, eq. 5."""
    return lambda progress: final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def warm_restarts(*, cycles: Few, growth: Few, final: Share = 0.0) -> Schedule:
    """SGDR: `cycles` cosines from 1 down to `final`, each `growth` times as long as the last one.

    Loshchilov and Hutter, arXiv:1608.03983. The last one ends with the training: T_0 of PyTorch's
    CosineAnnealingWarmRestarts is the first one's part of it, T_mult is `growth`.
    """
    fall = cosine(final=final)
    lengths = [growth**cycle for cycle in range(cycles)]
    # Whole numbers are divided once: a step at a border has the very number of that border.
    borders = [sum(lengths[:cycle]) / sum(lengths) for cycle in range(cycles + 1)]

    def factor(progress: float) -> float:
        cycle = max(i for i, border in enumerate(borders[:-1]) if progress >= border)
        begin, end = borders[cycle : cycle + 2]
        return fall((progress - begin) / (end - begin))

    return factor


def one_cycle(*, rise: Fraction = 0.3, start: Share = 0.04, final: Share = 0.0) -> Schedule:
    """From `start` up to 1 over the first `rise` of training, then down to `final`, by cosines.

    After Smith, "Super-Convergence", arXiv:1708.07120; cosines as in PyTorch's OneCycleLR.
    """

    def factor(progress: float) -> float:
        if progress < rise:
            return 1 + (start - 1) * (1 + math.cos(math.pi * progress / rise)) / 2
        fall = (progress - rise) / (1 - rise)
        return final + (1 - final) * (1 + math.cos(math.pi * fall)) / 2

    return factor


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "step": step,
    "warm_restarts": warm_restarts,
}


def with_warmup(schedule: Schedule, warmup_steps: int, total_steps: int) -> Callable[[int], float]:
    """`factor(step)`: the schedule, times a linear rise over the first `warmup_steps`."""

    def factor(step: int) -> float:
        rise = (step + 1) / (warmup_steps + 1) if step < warmup_steps else 1.0
        return rise * schedule(step / total_steps)

    return factor
