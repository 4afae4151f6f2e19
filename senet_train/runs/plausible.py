"""What no run can have in its record: numbers that a report could neither print nor divide by."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from senet_train.runs.metrics import AnyMetrics, ScoredMetrics

LARGEST = 2**63  # what the counters and clocks of a run hold
LARGEST_LOSS = 2.0**128  # what float32 holds: a run that nearly diverged has 1e24


def fault_of(record: object, cost: object, metrics: AnyMetrics) -> str:
    """The first number of a record that no run can have, `cost.parameters=0`; "" without one.

    What is not finite is told by who compares: a run that nobody compares may have it.
    """
    for name, number in numbers_in(record, ""):
        counted = isinstance(number, int) or name.startswith("cost.")
        most = LARGEST if counted else LARGEST_LOSS
        if abs(number) > most and number not in (float("inf"), float("-inf")):
            return f"{name}={str(number)[:20]}..."
    for name, count in vars(cost).items():
        if isinstance(count, int | float) and count < (name == "parameters"):
            return f"cost.{name}={count}"  # a network has one parameter at least
    if fault := fault_of_scores(metrics):
        return f"metrics.{fault}"
    return f"metrics.best_epoch={metrics.best_epoch}" if metrics.best_epoch < 0 else ""


def fault_of_scores(metrics: ScoredMetrics) -> str:
    """`val_top1=1.5`, or the score that the run was judged by and lacks; "" without a fault."""
    further = getattr(metrics, "macro", {})
    names = [f"{name}_{metrics.score.key}" for name in ("val", "test")]
    values = metrics.values()
    for name in dict.fromkeys([*names, f"{names[0]}_last", *further]):
        if name not in values:
            return f"judged_by={metrics.score.key} without {name}"
        if values[name] < 0 or values[name] > 1:
            return f"{name}={values[name]}"
    return ""


def numbers_in(node: Any, name: str) -> Iterator[tuple[str, float]]:
    """Every number below a node, and its dotted name."""
    if is_dataclass(node):
        node = vars(node)
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers_in(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from numbers_in(value, name)
    elif isinstance(node, int | float):
        yield name, node
