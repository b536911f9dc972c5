"""Binding a filter to a schema: fields and types are checked once, values get the fields' types."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

from rag.core.errors import WhereError, near_miss
from rag.core.values import plain, shown, storable
from rag.index.filters.where import And, FieldType, Not, Or, Schema, Test, Where, flat

#: Levels of nesting up to which a filter is bound, so that none exhausts Python's stack.
DEEPEST = 100
_ORDERED = ("<", "<=", ">", ">=")
#: Types of field that each function is for.
_FUNCTION_TYPES = {
    "startswith": ("string",), "string_contains": ("string", "list"), "list_contains": ("list",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bound(Where):
    """A filter that was checked against a schema; made by `bind`, never by hand.

    Attributes
    ----------
    where : Where
        The filter with dates parsed and ``contains`` resolved by the field's type; holds no `Bound`.
    original : Where
        The filter as it was written, to bind it to another schema.
    schema : mapping of str to FieldType
        What it was bound to.
    """

    where: Where
    original: Where
    schema: Schema

    def __and__(self, other: Where) -> Where:
        if isinstance(other, Bound) and fits(other, self.schema):
            return Bound(self.where & other.where, self.original & other.original, self.schema)
        return self.original & other

    def __or__(self, other: Where) -> Where:
        if isinstance(other, Bound) and fits(other, self.schema):
            return Bound(self.where | other.where, self.original | other.original, self.schema)
        return self.original | other

    def __invert__(self) -> Where:
        return Bound(Not(self.where), Not(self.original), self.schema)

    def __repr__(self) -> str:
        return repr(self.where)

    @property
    def parts(self) -> tuple[Where, ...]:
        """The filters that all must match: the parts of an ``and``, or the filter itself."""
        return self.where.parts if isinstance(self.where, And) else (self.where,)

    def fields(self) -> set[str]:
        """Return the names of all fields that the filter tests."""
        return self.where.fields()

    def to_string(self) -> str:
        """Print as the string form."""
        return self.where.to_string()

    def to_bedrock(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as a Knowledge Bases ``RetrievalFilter``; `schema` is by default the one bound to."""
        return self.where.to_bedrock(self.schema if schema is None else schema)

    def to_langchain(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as LangChain's dict form; `schema` is by default the one bound to."""
        return self.where.to_langchain(self.schema if schema is None else schema)

    def _nested(self) -> str:
        return self.where._nested()

    def _opposite(self, schema: Schema | None) -> Where:
        return self.where._opposite(schema)


def fits(where: Bound, schema: Schema) -> bool:
    """Whether a filter is bound to just this schema."""
    return where.schema is schema or where.schema == schema


def bind(where: Where, schema: Schema) -> Bound:
    """Check a filter against a schema, and turn its values into the fields' types.

    Parameters
    ----------
    where : Where
        One that is bound to another schema is bound anew, as it was written.
    schema : mapping of str to FieldType
        Every field that rows may have.

    Raises
    ------
    WhereError
        A field that is not in `schema` (naming the near miss), a test that the field's type
        does not have, or a value of another type.
    """
    if isinstance(where, Bound):
        return where if fits(where, schema) else bind(where.original, schema)
    return Bound(_bind(where, schema), where, schema)


def _bind(where: Where, schema: Schema, depth: int = 0) -> Where:
    if depth > DEEPEST:
        raise WhereError(f"the filter is nested more than {DEEPEST} levels deep: write it flat")
    if isinstance(where, And | Or):
        return flat(type(where), [_bind(part, schema, depth + 1) for part in where.parts])
    if isinstance(where, Not):
        return Not(_bind(where.part, schema, depth + 1))
    if isinstance(where, Bound):
        return where.where if fits(where, schema) else _bind(where.original, schema, depth + 1)
    assert isinstance(where, Test)
    return _bind_test(where, schema)


def _bind_test(test: Test, schema: Schema) -> Test:
    name, op, value = test.field, test.op, test.value
    kind = schema.get(name)
    if kind is None:
        raise WhereError(f"no document has a field {name!r}: {near_miss(name, schema)}")
    if op == "exists":
        return test
    if op == "contains":
        op = "list_contains" if kind == "list" else "string_contains"
    if op in _FUNCTION_TYPES:
        value = _plain(name, value)
        if kind not in _FUNCTION_TYPES[op]:
            allowed = " and ".join(_FUNCTION_TYPES[op])
            raise WhereError(f"{name!r} is a {kind}: {test.op} is for {allowed} fields")
        if not isinstance(value, str):
            hint = f"; members of a list are strings: write {str(value)!r}" if type(value) is int else ""
            raise WhereError(f"{name!r}: {test.op} takes a string, not {shown(value)}{hint}")
        return Test(name, op, _text(name, value))
    if kind == "list":
        raise WhereError(
            f"{name!r} is a list: test for a member, as in 'x' in {name}, or field({name!r}).contains('x')"
        )
    if op in ("in", "not in"):
        return Test(name, op, tuple(_value(name, kind, item) for item in value))
    if op in _ORDERED and kind == "boolean":
        raise WhereError(f"{name!r} is a boolean: it has == and !=, not {op}")
    return Test(name, op, _value(name, kind, value))


def _value(name: str, kind: FieldType, value: object) -> object:
    value = _plain(name, value)
    if kind == "string" and isinstance(value, str):
        return _text(name, value)
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(name, value)
    if kind in ("date", "datetime") and (moment := _moment(value)) is not None:
        if kind == "datetime":
            return moment
        if moment.time() == dt.time():
            return moment.date()
        raise WhereError(f"{name!r} is a date without a time: {shown(value)} has one")
    hint = ""
    if value is None:
        hint = f"; for rows without it write not exists({name})"
    elif kind == "string":
        hint = f"; write {str(value)!r}" if isinstance(value, int | float | dt.date) else ""
    elif kind in ("date", "datetime"):
        hint = "; write it as '2025-01-31'"
    elif kind == "number" and isinstance(value, str):
        hint = "; write it without quotes"
    raise WhereError(f"{name!r} is a {kind}, {shown(value)} is not{hint}")


def _plain(name: str, value: object) -> object:
    """Return a value of NumPy or pandas as Python's own."""
    try:
        return plain(value)
    except ValueError as error:
        raise WhereError(f"{name!r}: {shown(value)} {error}") from None


def _text(name: str, value: str) -> str:
    if not storable(value):
        raise WhereError(f"{name!r}: {shown(value)} holds half of a surrogate pair, which no text here has")
    return value


def _number(name: str, value: int | float) -> int | float:
    """Return a number that is finite, as a float too: columns of floats are compared with one."""
    try:
        if math.isfinite(value):
            return value
    except OverflowError:
        raise WhereError(f"{name!r}: {shown(value)} is beyond all numbers that are stored") from None
    raise WhereError(f"{name!r}: {value!r} is not a finite number")


def _moment(value: object) -> dt.datetime | None:
    """Read a date, datetime or ISO 8601 string; without a zone it is UTC."""
    try:
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, dt.datetime):
            return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):  # the latter in the first and last hours of the calendar
        return None
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return None
