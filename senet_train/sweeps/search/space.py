"""The search space: the sweeps of the command line as optuna's distributions."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from senet_train.config.compose import combinations
from senet_train.config.typed_words import key_of, of_logger
from senet_train.errors import InputError
from senet_train.sweeps.arms import WHOLE_TABLE_KEYS

log = logging.getLogger("senet_train")

Space = dict[str, BaseDistribution]


def read_space(overrides: Sequence[Override]) -> tuple[Space, list[str]]:
    """The distribution of each key that is searched, and the fixed settings. Raises InputError."""
    space: Space = {}
    [fixed] = combinations([word for word in overrides if not word.is_sweep_override()])
    for override in overrides:
        if override.is_sweep_override():
            key = override.get_key_element()
            refuse_key(key, {*map(key_of, fixed), *map(key_of, space)})
            space[key] = distribution_of(override)
    if not space:
        raise InputError(
            "there is nothing to search: give a space, such as 'optim.lr=tag(log,interval(0.01,1))'"
            " or ratio=4,8,16"
        )
    return space, fixed


def refuse_key(key: str, given: set[str]) -> None:
    """Raises InputError for a key that is given twice, or that no search can choose."""
    if key_of(key) in (*WHOLE_TABLE_KEYS, "retry") or of_logger(key):
        raise InputError(f"{key} is nothing to search: give it one value, for all trials")
    if key_of(key) in given:
        raise InputError(f"{key} is given twice: leave one of them out")


def distribution_of(override: Override) -> BaseDistribution:
    """Choices are kept as text; ranges end as in Hydra; intervals include both ends."""
    sweep = cast(Sweep, override.value())
    refuse_tags(override, getattr(sweep, "tags", set()))
    if isinstance(sweep, IntervalSweep):
        return interval(override, sweep)
    if isinstance(sweep, RangeSweep):
        return steps(override, sweep)
    choices = list(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise InputError(f"{override.input_line} holds no choice: give at least one")
    return CategoricalDistribution(choices)


def refuse_tags(override: Override, tags: set[str]) -> None:
    """Refuse every tag but `log` of an interval. Raises InputError."""
    known = {"log"} if override.is_interval_sweep() else set()
    if unknown := tags - known:
        raise InputError(
            f"{override.input_line}: the tag {', '.join(sorted(unknown))} means nothing here, "
            "only an interval has one, log: tag(log,interval(0.01,1))"
        )


def interval(override: Override, sweep: IntervalSweep) -> BaseDistribution:
    """`interval(0.1,1)`, `int(interval(2,16))`, either with the tag log. Raises InputError."""
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None or low > high:
        raise InputError(f"{override.input_line}: an interval goes from the smaller to the larger")
    if log and low <= 0:
        raise InputError(f"{override.input_line}: a logarithmic interval starts above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def steps(override: Override, sweep: RangeSweep) -> BaseDistribution:
    """`range(2,17,2)`, which ends before 17. Raises InputError."""
    values: list[Any] = list(sweep.range())
    if not values:
        raise InputError(f"{override.input_line} holds no number: its end is before its start")
    low, high, step = min(values), max(values), abs(sweep.step)
    if isinstance(low, int):
        return IntDistribution(low, high, step=int(step))
    return FloatDistribution(low, high, step=step)


def corners(space: Space) -> Iterator[dict[str, Any]]:
    """Each end and each choice of every key, the other keys at their first."""
    ends = {key: ends_of(distribution) for key, distribution in space.items()}
    first = {key: values[0] for key, values in ends.items()}
    for key, values in ends.items():
        for value in values:
            yield {**first, key: value}


def ends_of(distribution: BaseDistribution) -> Sequence[Any]:
    """The least and the largest; of choices, all."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)


def num_points(space: Space) -> float:
    """The number of different trials; infinity with an interval of real numbers."""
    return math.prod(map(num_values, space.values()))


def num_values(distribution: BaseDistribution) -> float:
    """The number of values of a key."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.single():
        return 1
    if distribution.step is None:
        return math.inf
    return round((distribution.high - distribution.low) / distribution.step) + 1


def settings_of(values: Mapping[str, Any]) -> list[str]:
    """`{"ratio": 4}` -> `["ratio=4"]`, exact to the last digit of a float."""
    return [f"{key}={value}" for key, value in values.items()]
