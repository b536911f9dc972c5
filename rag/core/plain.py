"""Records as the plain values that JSON has, and back."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
_Read = Callable[[Any], Any]


def shallow(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, uncopied: `dataclasses.asdict` copies each value deeply.

    For records of plain, unchangeable values, of which there are many in a reply.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Span:
    ...     start: int
    ...     end: int
    >>> shallow(Span(3, 9))
    {'start': 3, 'end': 9}
    """
    return {name: getattr(record, name) for name in _names(cast(Any, type(record)))}


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind))


def from_fields(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a dataclass from a mapping of its fields; keys that are no field are ignored.

    Lists become tuples, and mappings records, where the fields' types say so. A record with a ``from_dict``
    reads itself.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Span:
    ...     section: tuple[str, ...]
    ...     page: int | None = None
    >>> from_fields(Span, {"section": ["Leave", "Paid time off"], "place": "p. 3"})
    Span(section=('Leave', 'Paid time off'), page=None)
    """
    return kind(**{
        name: values[name] if read is None else read(values[name])
        for name, read in _readers(cast(Any, kind)) if name in values
    })  # fmt: skip


@functools.cache
def _readers(kind: type) -> list[tuple[str, _Read | None]]:
    hints = get_type_hints(kind)
    return [(field.name, _reader(hints[field.name])) for field in dataclasses.fields(kind)]


def _reader(hint: Any) -> _Read | None:
    """Return what reads a value of a type; None if it is read as it is."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return getattr(hint, "from_dict", None) or functools.partial(from_fields, hint)
    if origin in (Union, types.UnionType):
        read = _reader(next(each for each in inner if each is not types.NoneType))
        return None if read is None else lambda value: None if value is None else read(value)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        each = _reader(inner[0])
        return tuple if each is None else lambda values: tuple(map(each, values))
    if origin is tuple:
        parts = [_reader(part) for part in inner]
        return lambda values: tuple(
            value if part is None else part(value) for part, value in zip(parts, values, strict=True)
        )
    return float if hint is float else None
