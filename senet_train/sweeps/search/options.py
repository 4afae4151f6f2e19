"""The options of a search, `hydra.sweeper.*`, and the settings that a search refuses."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.config.read import explain
from senet_train.config.resolvers import mode_for
from senet_train.config.schema import STRICT, Config, Count, Seed
from senet_train.errors import InputError


@dataclass(frozen=True, config=STRICT)
class Options:
    """Only `num_trials` and `batch` may change when a search is continued."""

    num_trials: Count = 20  # pruned, diverged and impossible ones count
    batch: Count = 1  # trials launched together; the sampler learns only between batches
    sampler: Literal["tpe", "random"] = "tpe"  # tpe learns from finished trials, random does not
    seed: Seed = 0  # of the sampler; the runs have the one seed of the command line
    pruner: Literal["none", "median"] = "none"  # median of the finished trials at the same epoch
    prune_after_trials: Count = 5  # so many have to finish first
    prune_after_epochs: Count = 3  # the first verdict on a trial


DEFAULTS = {field.name: field.default for field in fields(Options)}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options, typed and checked. Raises InputError."""
    try:
        return TypeAdapter(Options).validate_json(json.dumps(dict(given)))
    except ValidationError as error:
        raise InputError(explain(error, given, "hydra.sweeper.")) from None


def refuse_table(tree: Mapping[str, Any]) -> None:
    """Refuse arms and several seeds: a trial is one run with one seed. Raises InputError."""
    if mode_for(*(tree[key] for key in ("seeds", "arms", "seed", "first_seed"))):
        raise InputError(
            "hydra/sweeper=search tries settings at one seed, and arms and seeds are a table: "
            "leave them out, and train what was found with seeds=5 afterwards"
        )


def refuse_overwrite(config: Config) -> None:
    """Refuse to train finished trials anew. Raises InputError."""
    if config.overwrite:
        raise InputError(
            "overwrite=true would train finished trials anew: leave it out, or choose another "
            "output_dir for a search from the start"
        )
