"""An annotation in words: `Literal["none"] | int` -> `` `none` or a whole number ``."""

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from senet_train.config.schema import Choice

PLAIN = {
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    str: "text",
    NoneType: "`null`",
    Any: "anything",
    Choice: "names, with or without their options",
}
BOUNDS = {"ge": "from {} on", "gt": "above {}", "le": "up to {}", "lt": "below {}"}


def type_words(annotation: Any) -> str:
    """What may be written there."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return with_bounds(type_words(arguments[0]), arguments[1:])
    if origin is Literal:
        return " or ".join(f"`{str(value).lower()}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(type_words(argument) for argument in arguments)
    if origin in (list, tuple, Sequence):
        return f"list of: {type_words(arguments[0])}"
    if origin is dict:
        return f"mapping of {type_words(arguments[0])} to {type_words(arguments[1])}"
    return PLAIN.get(annotation) or f"`{getattr(annotation, '__name__', annotation)}`"


def with_bounds(words: str, metadata: tuple[Any, ...]) -> str:
    """The words with the limits that pydantic checks."""
    limits = [limit for each in metadata for limit in getattr(each, "metadata", [each])]
    assert all(not isinstance(limit, FieldInfo) for limit in limits)
    said = [
        text.format(getattr(limit, name))
        for limit in limits
        for name, text in BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return " ".join([words, ", ".join(said)]) if said else words
