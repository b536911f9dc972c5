"""Binding a filter to a schema: fields and types are checked once, values get the fields' types."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from rag.core.errors import WhereError, near_miss
from rag.index.filters.where import And, FieldType, Not, Or, Schema, Test, Where

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
            joined = And((self.where, other.where))
            return Bound(joined, And((self.original, other.original)), self.schema)
        return self.original & other

    def __or__(self, other: Where) -> Where:
        if isinstance(other, Bound) and fits(other, self.schema):
            joined = Or((self.where, other.where))
            return Bound(joined, Or((self.original, other.original)), self.schema)
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

    def to_langchain(self) -> dict[str, Any]:
        """Print as LangChain's dict form."""
        return self.where.to_langchain()

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


def _bind(where: Where, schema: Schema) -> Where:
    if isinstance(where, And):
        return And(tuple(_bind(part, schema) for part in where.parts))
    if isinstance(where, Or):
        return Or(tuple(_bind(part, schema) for part in where.parts))
    if isinstance(where, Not):
        return Not(_bind(where.part, schema))
    if isinstance(where, Bound):
        return bind(where, schema).where
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
        if not isinstance(value, str):
            raise WhereError(f"{name!r}: {test.op} takes a string, not {value!r}")
        if kind not in _FUNCTION_TYPES[op]:
            allowed = " and ".join(_FUNCTION_TYPES[op])
            raise WhereError(f"{name!r} is a {kind}: {test.op} is for {allowed} fields")
        return Test(name, op, value)
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
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > 2**53 and int(value) != float(value):
            raise WhereError(f"{name!r}: {value!r} is beyond the numbers that are stored exactly")
        return float(value)
    if kind in ("date", "datetime") and (moment := _moment(value)) is not None:
        if kind == "datetime":
            return moment
        if moment.time() == dt.time():
            return moment.date()
        raise WhereError(f"{name!r} is a date without a time: {value!r} has one")
    hint = ""
    if value is None:
        hint = f"; for rows without it write not exists({name})"
    elif kind == "string":
        hint = f"; write {str(value)!r}"
    elif kind in ("date", "datetime"):
        hint = "; write it as '2025-01-31'"
    elif kind == "number" and isinstance(value, str):
        hint = "; write it without quotes"
    raise WhereError(f"{name!r} is a {kind}, {value!r} is not{hint}")


def _moment(value: object) -> dt.datetime | None:
    """Read a date, datetime or ISO 8601 string; without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return None
