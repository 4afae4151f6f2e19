"""A `Choice` -> a constructor with its options bound, found in a table or among entry points.

An option's types are the constructor's keyword signature, so a new class needs no schema.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from senet_train.config.conf_keys import keys_of_conf
from senet_train.config.read import explain
from senet_train.config.schema import Choice
from senet_train.config.suggest import no_such_key, suggestion
from senet_train.errors import InputError

STRICT = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


def bind(
    choice: Choice, table: Mapping[str, Callable[..., Any]], where: str, plugin_group: str
) -> tuple[partial[Any], Choice]:
    """The constructor that `choice` names with its options bound, and the choice with defaults.

    `where` is the configuration group, for messages. Raises InputError.
    """
    constructor = look_up(choice.name, table, where, plugin_group)
    options = check_options(constructor, choice.options, where)
    return partial(constructor, **options), Choice(choice.name, options)


def look_up(
    name: str, table: Mapping[str, Callable[..., Any]], where: str, plugin_group: str
) -> Callable[..., Any]:
    """The constructor called `name` in our table, or else among the installed entry points."""
    if name in table:
        return table[name]
    plugins = {entry.name: entry for entry in entry_points(group=plugin_group)}
    if name in plugins:
        constructor: Callable[..., Any] = plugins[name].load()
        return constructor
    known = [*table, *plugins]
    raise InputError(f"there is no {where} named {name}{suggestion(name, known)}")


@lru_cache  # each arm of a table asks for those of the same constructors
def keyword_options(constructor: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The keyword-only parameters a configuration may set: those not bound already."""
    bound = constructor.keywords if isinstance(constructor, partial) else {}
    parameters = inspect.signature(constructor, eval_str=True).parameters.values()
    return {
        p.name: p
        for p in parameters
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name not in bound
    }


def defaults(constructor: Callable[..., Any]) -> dict[str, Any]:
    """The options that have a default value, and that value."""
    options = keyword_options(constructor).values()
    return {p.name: p.default for p in options if p.default is not p.empty}


def check_options(
    constructor: Callable[..., Any], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Every option of the constructor with its checked or default value. Raises InputError."""
    allowed = keyword_options(constructor)
    for key in given:
        if key not in allowed:
            if keys_of_conf().get(f"{where}.{key}"):  # of another option of the group
                raise InputError(no_such_key(f"{where}.{key}"))
            known = [*allowed, *shared_keys(where)]
            raise InputError(f"{where} has no option {key}{suggestion(key, known)}")
    for p in allowed.values():
        if p.annotation is p.empty:
            raise InputError(f"{where}: its option {p.name} has no type: annotate its constructor")
    try:
        checked = model_of(constructor).model_validate(dict(given))
    except ValidationError as error:
        raise InputError(explain(error, given, f"{where}.")) from None
    return {name: getattr(checked, name) for name in allowed}


@lru_cache  # likewise, and to make a model takes milliseconds
def model_of(constructor: Callable[..., Any]) -> type[BaseModel]:
    """A model that checks the options of a constructor, all of which have a type."""
    fields: dict[str, Any] = {
        p.name: (p.annotation, Field() if p.default is p.empty else p.default)
        for p in keyword_options(constructor).values()
    }
    return create_model("Options", __config__=STRICT, **fields)


def shared_keys(group: str) -> list[str]:
    """The keys that every option of a group has, such as `lr` of optim."""
    shared = (key for key, owners in keys_of_conf().items() if not owners)
    names = (key.removeprefix(f"{group}.") for key in shared if key.startswith(f"{group}."))
    return [name for name in names if "." not in name]
