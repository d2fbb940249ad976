"""JSON as the classes of `vae_fidelity.reports`."""

from __future__ import annotations

import dataclasses
import json
import keyword
import types
import typing
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")


@lru_cache(maxsize=None)
def _fields(record: Any) -> dict[str, tuple[str, Any, bool]]:
    """By the name in JSON: the name in Python, the type, and whether it has to be there."""
    hints = typing.get_type_hints(record)
    fields = {}
    for field in dataclasses.fields(record):
        name = field.name
        of_json = name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name
        fields[of_json] = (name, hints[name], field.default is dataclasses.MISSING)
    return fields


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _fits(kind: Any, value: Any) -> bool:
    """Whether `value` can be a `kind`; of records, by their names and their constants."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return value in typing.get_args(kind)
    if origin in (list, tuple):
        return isinstance(value, list)
    if origin is dict:
        return isinstance(value, dict)
    if origin in (Union, types.UnionType):
        return any(_fits(each, value) for each in typing.get_args(kind))
    if _is_record(kind):
        if not isinstance(value, dict):
            return False
        value = _named(value)
        return all(
            name in value and (typing.get_origin(each) is not Literal or _fits(each, value[name]))
            for name, (_, each, needed) in _fields(kind).items()
            if needed
        )
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def from_json(kind: type[T], value: Any) -> T:
    """`value`, as `json.loads` gives it, as a `kind`. What the class does not have is left out."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return typing.cast(T, [from_json(arguments[0], each) for each in value])
    if origin is tuple:
        return typing.cast(T, tuple(from_json(part, each) for part, each in zip(arguments, value)))
    if origin is dict:
        return typing.cast(T, {name: from_json(arguments[1], each) for name, each in value.items()})
    if origin in (Union, types.UnionType):
        fitting = [each for each in arguments if _fits(each, value)]
        # A new form of an old field stays as it is.
        return typing.cast(T, from_json(max(fitting, key=lambda each: _known(each, value)), value) if fitting else value)
    if _is_record(kind) and isinstance(value, dict):
        named = _named(value)
        known = {
            name: from_json(each, named[of_json])
            for of_json, (name, each, _) in _fields(typing.cast(Any, kind)).items()
            if of_json in named
        }
        return kind(**known)
    return value if kind is not float or value is None else typing.cast(T, float(value))


def with_behind(kind: type[T], text: str, **behind: Any) -> T:
    """A report whose class is derived from what the JSON in `text` is of, with more than the JSON has."""
    [record] = kind.__bases__
    read: Any = from_json(record, json.loads(text))
    made = kind(**{field.name: getattr(read, field.name) for field in dataclasses.fields(read)})
    for name, value in behind.items():
        object.__setattr__(made, name, value)
    return made


def _known(kind: Any, value: Any) -> int:
    """How many of the names in `value` a record has."""
    return sum(name in _fields(kind) for name in _named(value)) if _is_record(kind) else 0


def _named(value: Any) -> dict[str, Any]:
    """With the names that Python has for choices of a protocol, `psnr-values` for one."""
    return {name.replace("-", "_"): each for name, each in value.items()}
