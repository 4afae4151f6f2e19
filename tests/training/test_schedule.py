"""Schedules against PyTorch's own schedulers."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler

from senet_train.training.schedule import (
    Schedule,
    constant,
    cosine,
    one_cycle,
    step,
    warm_restarts,
    with_warmup,
)

STEPS = 40


def theirs(make, steps: int = STEPS) -> list[float]:
    """The rates a torch scheduler gives from a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(schedule: Schedule, warmup: int = 0, steps: int = STEPS) -> list[float]:
    factor = with_warmup(schedule, warmup, steps)
    return [factor(i) for i in range(steps)]


def test_step() -> None:
    expected = theirs(lambda o: lr_scheduler.MultiStepLR(o, [12, 24, 36], 0.1))
    assert ours(step(milestones=[0.3, 0.6, 0.9], gamma=0.1)) == pytest.approx(expected)


def test_cosine() -> None:
    expected = theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.05))
    assert ours(cosine(final=0.05)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cycles", "growth", "steps", "first"),
    [(1, 2, 40, 40), (4, 1, 40, 10), (3, 2, 70, 10), (3, 3, 130, 10), (5, 2, 62, 2)],
)
@pytest.mark.parametrize("final", [0.0, 0.05])
def test_warm_restarts(cycles: int, growth: int, steps: int, first: int, final: float) -> None:
    """`first` is T_0: it rises at the very step at which PyTorch's rises."""
    expected = theirs(
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, first, growth, eta_min=final), steps
    )
    found = ours(warm_restarts(cycles=cycles, growth=growth, final=final), steps=steps)
    assert found == pytest.approx(expected, abs=1e-12)
    rises = [i for i in range(1, steps) if found[i] > found[i - 1]]
    assert len(rises) == cycles - 1
    assert all(found[i] == 1.0 for i in rises)


def test_one_cycle() -> None:
    """PyTorch counts to the last step, we to the end: equal once stretched by a step."""

    def make(optimizer):
        with warnings.catch_warnings():
            return lr_scheduler.OneCycleLR(
                optimizer,
                1.0,
                total_steps=STEPS + 1,
                pct_start=(12 + 1) / (STEPS + 1),
                div_factor=25,
                final_div_factor=1e9,
                cycle_momentum=False,
            )

    expected = theirs(make)
    assert ours(one_cycle(rise=0.3, start=0.04, final=0.0)) == pytest.approx(expected, abs=1e-6)


def test_warmup_rises_to_the_schedule() -> None:
    rates = ours(constant(), warmup=4)
    assert rates[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
