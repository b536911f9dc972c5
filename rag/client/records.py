"""Records from a server's replies: each is of the types that it states, or there is an error."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from rag.core.passages import Hit

T = TypeVar("T")
_Test = Callable[[Any], bool]


class ReplyError(Exception):
    """A reply is not what it should be."""


def plain(body: bytes | bytearray) -> Any:
    """Return the value of a reply that is JSON.

    Raises
    ------
    ReplyError
        It is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8, too
        wrong = str(error)
    raise ReplyError(f"no JSON: {wrong}")


def of_fields(body: bytes, *names: str) -> list[Any]:
    """Return the values of a reply that is a JSON object with these keys."""
    values = plain(body)
    if not isinstance(values, dict) or not values.keys() >= {*names}:
        raise ReplyError(f"no {', '.join(names)}")
    return [values[name] for name in names]


def hits(values: Any) -> list[Hit]:
    """Return passages from their plain values."""
    if not isinstance(values, list):
        raise ReplyError("no list of passages")
    return [record(Hit.from_dict, each) for each in values]


def record(read: Callable[[Any], T], values: Any) -> T:
    """Return what reads plain values, once all its fields have the types that they state.

    Raises
    ------
    ReplyError
        One has not.
    """
    try:
        found = read(values)
        wrong = misfit(found)
    except (TypeError, ValueError, KeyError, AttributeError, LookupError, RecursionError) as error:
        wrong = f"{type(error).__name__}: {error}"
    if wrong:
        raise ReplyError(wrong)
    return found


def misfit(value: Any) -> str:
    """Return which field of a record is of another type than it states; empty if none is.

    Examples
    --------
    >>> misfit(Hit("a.md", 0, "nine", "Leave", 1.0))
    'end of Hit'
    """
    kind: Any = type(value)
    for name, fits in _tests(kind) if hasattr(kind, "__dataclass_fields__") else ():
        if not fits(getattr(value, name)):
            return f"{name} of {type(value).__name__}"
    return ""


@functools.cache
def _tests(kind: Any) -> list[tuple[str, _Test]]:
    hints = get_type_hints(kind)
    return [(each.name, _test(hints[each.name])) for each in fields(kind)]


def _test(hint: Any) -> _Test:
    """Return what tells whether a value is of a type; types of values that JSON gives, and records."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: True
    if origin in (Union, types.UnionType):
        tests = [_test(each) for each in inner]
        return lambda value: any(fits(value) for fits in tests)
    if origin is tuple and inner[1:] == (Ellipsis,):
        each = _test(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(each, value))
    if origin is tuple:
        parts = [_test(part) for part in inner]
        return lambda value: (
            isinstance(value, tuple) and len(value) == len(parts)
            and all(fits(part) for fits, part in zip(parts, value, strict=True))
        )  # fmt: skip
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, of = (_test(each) for each in inner)
        return lambda value: (
            isinstance(value, Mapping) and all(map(key, value)) and all(map(of, value.values()))
        )
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: isinstance(value, hint) and not misfit(value)
    if hint is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    return lambda value: isinstance(value, hint)
