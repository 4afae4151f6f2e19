"""The arms and seeds of a table, read from the configuration and checked.

An arm is a list of settings, changes to a base: one factor at a time, not a product.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.compare import MARGIN, RESERVE
from senet_train.config.read import explain
from senet_train.config.schema import SWEEP_KEYS, Seed
from senet_train.config.typed_words import key_of, of_logger
from senet_train.errors import InputError

WHOLE_TABLE_KEYS = (
    "arms",
    "seeds",
    "first_seed",
    "max_seeds",
    "primary",
    "reserve",
    "margin",
    "seed",
    "factor",
    "output_dir",
    "overwrite",
    "dry_run",
    "experiment",
)


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Table:
    """The arms of a preset, and the seeds of every arm. Without arms the base is the only one.

    `primary` has the settings of the arm that gets half of the error, `none` for no arm. `reserve`
    is the part of the error that is kept for more seeds. `margin` is in points.
    """

    arms: list[Annotated[list[str], Field(min_length=1)]]
    seeds: (
        Annotated[int, Field(ge=1, le=10_000)]
        | Annotated[list[Seed], Field(min_length=1)]
        | Literal["auto"]
    )
    first_seed: Seed = 0
    max_seeds: Annotated[int, Field(ge=1, le=10_000)] = 20
    primary: Annotated[str, Field(min_length=1)] = "none"
    reserve: Annotated[float, Field(ge=0, lt=1)] = RESERVE
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] = MARGIN

    def seed_list(self) -> list[int]:
        """`seeds=5` means 0 to 4, or five from `first_seed` on; `seeds=auto` all that may be added.

        Raises InputError for seeds beyond the largest.
        """
        if self.seeds == "auto":
            return list(range(self.max_seeds))
        if not isinstance(self.seeds, int):
            return list(dict.fromkeys(self.seeds))
        behind = self.first_seed + self.seeds
        if behind > 2**32:
            raise InputError(
                f"seeds are below 2^32: first_seed={self.first_seed} and seeds={self.seeds} go "
                "beyond, choose a smaller first_seed"
            )
        return list(range(self.first_seed, behind))


def read_table(tree: Mapping[str, Any]) -> Table:
    """Read arms and seeds from a composed configuration. Raises InputError."""
    given = {key: tree[key] for key in SWEEP_KEYS if key in tree}
    try:
        return TypeAdapter(Table).validate_json(json.dumps(given))
    except ValidationError as error:
        raise InputError(explain(error, given)) from None


def refuse_conflicts(base: Sequence[str], table: Table) -> None:
    """Refuse a setting that the table also makes: one of the two would silently have no effect.

    Raises InputError.
    """
    given = {key_of(setting): setting for setting in base}
    if "seeds" in given and "seed" in given:
        raise InputError(
            f"{given['seeds']} and {given['seed']} both choose seeds: leave one of them out"
        )
    if "max_seeds" in given and table.seeds != "auto":
        raise InputError(
            f"{given['max_seeds']} changes nothing with seeds={table.seeds}: leave it out, or "
            "choose seeds=auto"
        )
    if "first_seed" in given and not isinstance(table.seeds, int):
        raise InputError(
            f"{given['first_seed']} changes nothing with seeds={table.seeds}: leave it out, or "
            "give seeds a number"
        )
    if table.arms and "seed" in given:
        raise InputError(
            f"{given['seed']} and the table's seeds={table.seeds} both choose seeds: "
            f"write seeds=[{given['seed'].partition('=')[2]}] for this one alone"
        )
    for arm in table.arms:
        refuse_arm(arm)
        for setting in arm:
            if key_of(setting) in given:
                raise InputError(
                    f"{given[key_of(setting)]} is set by the table's arm {' '.join(arm)}: "
                    "leave it out, or write your own 'arms=[[\"attention=none\"],...]'"
                )


def refuse_arm(arm: Sequence[str]) -> None:
    """Raises InputError for a key that an arm sets twice, or that holds for the whole table."""
    keys = [key_of(setting) for setting in arm]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"the arm {' '.join(arm)} sets {key} twice: leave one of them out")
        if key.partition(".")[0].partition("/")[0] == "hydra":
            raise InputError(f"the arm {' '.join(arm)} sets {key}, which is no setting of a run")
        if key in WHOLE_TABLE_KEYS or of_logger(key):
            raise InputError(
                f"the arm {' '.join(arm)} sets {key}, which holds for the whole table: "
                "set it beside the arms"
            )


def refuse_mixed(tables: Sequence[Table]) -> None:
    """Raises InputError where a sweep gives a table's own settings several values."""
    if len({table.seeds == "auto" for table in tables}) > 1:
        raise InputError("seeds=auto holds for a whole sweep: leave the other seeds= out")
    for key in ("primary", "reserve", "margin"):
        values = list(dict.fromkeys(str(getattr(table, key)) for table in tables))
        if len(values) > 1:
            raise InputError(f"{key} holds for a whole sweep, got {', '.join(values)}: choose one")
