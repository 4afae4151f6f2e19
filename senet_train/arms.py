"""What a sweep asks for: the command line's combinations, a preset's arms, and seeds. Pure.

An arm is a list of settings, changes to a base: one factor at a time, not a product.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any

from hydra.core.override_parser.types import Override
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.config import Count, Seed, explain
from senet_train.errors import InputError


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Table:
    """A preset's arms (one without settings where it names none) and every arm's seeds."""

    arms: list[Annotated[list[str], Field(min_length=1)]]
    seeds: Count | Annotated[list[Seed], Field(min_length=1)]

    def seed_list(self) -> list[int]:
        """`seeds=5` means 0 to 4."""
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        return list(dict.fromkeys(seeds))


def read_table(tree: Mapping[str, Any]) -> Table:
    """The keys `arms` and `seeds` of a composed configuration, checked. Raises InputError."""
    given = {"arms": tree.get("arms"), "seeds": tree.get("seeds")}
    try:
        return TypeAdapter(Table).validate_json(json.dumps(given))
    except ValidationError as error:
        raise InputError(explain(error, given)) from None


def combinations(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """`a=1,2 b=3` -> `a=1 b=3`, then `a=2 b=3`."""
    choices = []
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            values = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            values = [f"{key}={override.get_value_element_as_str()}"]
        choices.append([key] if override.is_delete() else values)
    for combination in product(*choices):
        yield list(combination)


def refuse_both(base: Sequence[str], table: Table) -> None:
    """Refuse a setting that the table also makes: one of the two would silently lose.

    Raises InputError.
    """
    given = {key_of(setting): setting for setting in base}
    if "seeds" in given and "seed" in given:
        raise InputError(
            f"{given['seeds']} and {given['seed']} both choose seeds: leave one of them out"
        )
    if table.arms and "seed" in given:
        raise InputError(
            f"{given['seed']} and the table's seeds={table.seeds} both choose seeds: "
            f"write seeds=[{given['seed'].partition('=')[2]}] for this one alone"
        )
    for arm in table.arms:
        for setting in arm:
            if key_of(setting) in given:
                raise InputError(
                    f"{given[key_of(setting)]} is set by the table's arm {' '.join(arm)}: "
                    "leave it out, or write your own 'arms=[[\"attention=none\"],...]'"
                )


def key_of(setting: str) -> str:
    """`+data.flip=true` -> `data.flip`; `a@b=c` -> `a`."""
    return setting.lstrip("+~").partition("=")[0].partition("@")[0]
